package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// serviceOutcome is the result of a service that did not fail.
type serviceOutcome struct {
	// result is the JSON that the service returned, nil if it returned nothing.
	result json.RawMessage
	// location is where the gateway puts the result.
	location resultLocation
	// before and after, if not nil, run before and after the response is written.
	before, after func()
	// handedOut is set if the result has messages of a subscription that is fetched.
	handedOut bool
}

type resultLocation int

const (
	// inWrapper is data.response.zato_gateway_response. Falsy results become "".
	inWrapper resultLocation = iota
	// inWrapperRaw is the same, but {} stays {} (unsubscribe in transcript durable).
	inWrapperRaw
	// inResponse is data.response itself (subscribe-wsx in transcript durable).
	inResponse
)

// invoke runs a service and sends its response. It returns false if the connection
// must end.
func (c *session) invoke(ctx context.Context, f clientFrame) bool {
	cid := newID()
	result, err := c.runService(ctx, f, cid)
	if c.inState(stateClosing) || c.isClosed() || ctx.Err() != nil {
		return false // transcripts slow-service-drops-connection and server-stopped
	}
	switch c.srv.faults.nextResponse(result.handedOut) {
	case responseDropped:
		return true
	case responseCut:
		return false
	case responseSent:
	}
	frame := c.responseFrame(f, cid, result, err)
	if errors.Is(err, errNoEndpoint) {
		return c.closeAndSend(frame)
	}
	if !c.srv.faults.delayResponse(c) {
		return false
	}
	callIfSet(result.before)
	if c.send(frame) != nil {
		return false
	}
	callIfSet(result.after)
	return true
}

func callIfSet(f func()) {
	if f != nil {
		f()
	}
}

// responseFrame returns the response to an invocation. Its id is the correlation
// id.
func (c *session) responseFrame(f clientFrame, cid string, out serviceOutcome, err error) serverFrame {
	if err != nil {
		return errorFrame(f, cid, err)
	}
	meta := newMeta(cid, typeOK)
	meta.Status, meta.InReplyTo = 200, f.id
	data := out.result
	switch {
	case c.channel.Service != nil || c.channel.Gateway == NoWrapper:
		if isFalsy(data) && out.location != inWrapperRaw {
			data = nil
		}
	case out.location == inResponse:
		data = wrapObject("response", data)
	case isFalsy(data) && out.location == inWrapper:
		data = wrapObject("response", wrapObject("zato_gateway_response", json.RawMessage(`""`)))
	default:
		data = wrapObject("response", wrapObject("zato_gateway_response", data))
	}
	return serverFrame{meta, data}
}

func wrapObject(key string, value json.RawMessage) json.RawMessage {
	return fmt.Appendf(nil, "{%q:%s}", key, value)
}

func errorFrame(f clientFrame, cid string, err error) serverFrame {
	status := internalError()
	_ = errors.As(err, &status) // any other error stays an internal one
	meta := newMeta(cid, typeError)
	meta.Status, meta.InReplyTo, meta.ErrorMessage = status.Status, f.id, status.Message
	return serverFrame{meta, wrapObject("cid", fmt.Appendf(nil, "%q", cid))}
}

// runService finds and runs the service that a frame invokes.
func (c *session) runService(ctx context.Context, f clientFrame, cid string) (serviceOutcome, error) {
	inv := c.invocation(cid)
	if c.channel.Service != nil {
		c.srv.recorder.addInvocation("")
		inv.Request, inv.Payload = f.data, f.data
		return runCustomService(ctx, c.channel.Service, inv)
	}
	var arguments struct {
		Service json.RawMessage `json:"service"`
		Request json.RawMessage `json:"request"`
	}
	if json.Unmarshal(f.data, &arguments) != nil || isFalsy(arguments.Service) {
		return serviceOutcome{}, internalError()
	}
	inv.Service, inv.Request, inv.Payload = stringOf(arguments.Service), arguments.Request, arguments.Request
	if isFalsy(arguments.Request) {
		// A defect of Zato: the service gets the arguments of the gateway as its
		// input (docs/protocol.md, "Invoking services"). The companion corrects it.
		inv.Request = f.data
		if c.channel.Gateway == Connect {
			inv.Request = json.RawMessage(`""`)
		}
	}
	c.srv.recorder.addInvocation(inv.Service)
	c.sleep(c.srv.process.occupy(inv))
	if c.srv.faults.failInvocation(inv.Service) {
		return serviceOutcome{}, internalError()
	}
	if builtin := c.builtin(inv.Service); builtin != nil {
		return builtin(inv)
	}
	if service := c.companion(ctx, inv.Service); service != nil {
		return service(inv)
	}
	if service := c.administrative(inv.Service); service != nil {
		return service(inv)
	}
	service := c.srv.service(inv.Service)
	if service == nil || !c.channel.allows(inv.Service) {
		return serviceOutcome{}, notAllowed()
	}
	return runCustomService(ctx, service, inv)
}

// builtin returns the built-in service with a name, or nil. Every gateway allows
// built-in services.
func (c *session) builtin(name string) func(Invocation) (serviceOutcome, error) {
	switch name {
	case "zato.ping":
		return pingService
	case "zato.pubsub.pubapi.publish-message":
		return c.publish
	case "zato.pubsub.pubapi.subscribe-wsx":
		return c.subscribe
	case "zato.pubsub.subscription.create-wsx-subscription":
		return c.createSubscription
	case "zato.pubsub.resume-wsx-subscription":
		return c.resume
	case "zato.pubsub.pubapi.unsubscribe":
		return c.unsubscribe
	}
	return nil
}

// pingResult is the result of zato.ping.
var pingResult = json.RawMessage(`{"pong":"zato"}`) //nolint:gochecknoglobals // a constant

func pingService(Invocation) (serviceOutcome, error) {
	return serviceOutcome{result: pingResult}, nil
}

// runCustomService runs a service that is not built in. A panic becomes an internal
// error, as an exception does in Zato.
func runCustomService(ctx context.Context, service Service, inv Invocation) (out serviceOutcome, err error) {
	defer func() {
		if recover() != nil {
			err = internalError()
		}
	}()
	result, err := service(ctx, inv)
	if err != nil {
		return serviceOutcome{}, err
	}
	if raw, ok := result.(json.RawMessage); ok && raw == nil {
		return serviceOutcome{}, nil
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return serviceOutcome{}, fmt.Errorf("encoding the result: %w", err)
	}
	return serviceOutcome{result: raw}, nil
}
