// Package output provides the zato_wsx output, which publishes messages to Zato topics.
package output

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

func init() { //nolint:gochecknoinits // components of Connect register themselves
	service.MustRegisterOutput("zato_wsx", spec(), construct)
}

func construct(conf *service.ParsedConfig, res *service.Resources) (service.Output, int, error) {
	inFlight, err := conf.FieldMaxInFlight()
	if err != nil {
		return nil, 0, err
	}
	out, err := newOutput(conf, res)
	if err != nil {
		return nil, 0, err
	}
	injected, err := conf.WrapOutputExtractTracingSpanMapping("zato_wsx", out)
	return connectionTester{Output: tracing.New(res).Output(injected), lease: out.lease}, inFlight, err
}

// connectionTester adds to an output the connection test, which the tracing wrappers hide.
type connectionTester struct {
	service.Output

	lease *connection.Lease
}

// ConnectionTest connects, logs in and disconnects.
func (t connectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// output publishes messages. Write may be called by several goroutines at once.
type output struct {
	lease     *connection.Lease
	fields    map[string]*service.InterpolatedString
	timeout   time.Duration
	retryLost bool
	connector connection.Connector
	dropped   *dropped
}

func newOutput(conf *service.ParsedConfig, res *service.Resources) (*output, error) {
	if err := validateStatic(conf); err != nil {
		return nil, err
	}
	out := &output{fields: map[string]*service.InterpolatedString{}, dropped: newDropped(res)}
	for _, name := range []string{
		fieldTopic, fieldPriority, fieldExpiration, fieldMimeType, fieldCorrelID,
		fieldInReplyTo, fieldExtClientID, fieldExtPubTime, fieldHasGD,
	} {
		field, err := conf.FieldInterpolatedString(name)
		if err != nil {
			return nil, err
		}
		if static, isStatic := field.Static(); !isStatic || static != "" {
			out.fields[name] = field
		}
	}
	var err error
	if out.timeout, err = config.ParseDuration(conf, fieldTimeout); err != nil {
		return nil, err
	}
	if out.retryLost, err = conf.FieldBool(fieldRetryLost); err != nil {
		return nil, err
	}
	out.lease, err = connection.Acquire(conf, res)
	return out, err
}

// Connect waits for a connection.
func (o *output) Connect(ctx context.Context) error {
	return o.connector.Connect(ctx, o.lease.AwaitReady)
}

// Write publishes one message and waits for Zato's answer. While there is no connection, Write
// waits for one itself, within the timeout: the engine would log each message that it has to
// write again, and it writes the first one after a reconnect under a lock.
func (o *output) Write(ctx context.Context, msg *service.Message) error {
	p, err := o.publication(msg)
	span := tracing.Current(msg) //nolint:contextcheck // the span is in the message's own context
	span.Describe(tracing.Message{Destination: p.Topic, ConversationID: p.CorrelID})
	if err != nil {
		return err
	}
	p.Deadline = time.Now().Add(o.timeout)
	id, err := o.publish(ctx, p)
	if err == nil && id == "" {
		o.dropped.report(p.Topic)
	}
	span.Describe(tracing.Message{ID: id})
	return o.lease.Translate(err)
}

// publish publishes until Zato has answered or the deadline of the publication has passed. It
// repeats only what was lost, and only if retryLost is set.
func (o *output) publish(ctx context.Context, p wsx.Publication) (msgID string, err error) {
	for {
		msgID, err = o.lease.Publish(ctx, p)
		lost := errors.Is(err, wsx.ErrConnectionLost)
		if !lost || !o.retryLost || ctx.Err() != nil || !time.Now().Before(p.Deadline) {
			return msgID, err
		}
	}
}

// Close releases the connections.
func (o *output) Close(context.Context) error {
	o.lease.Release()
	return nil
}

// publication returns the publication for a message. It checks the interpolated fields; the
// client checks the rest.
func (o *output) publication(msg *service.Message) (wsx.Publication, error) {
	var p wsx.Publication
	content, err := msg.AsBytes()
	if err != nil {
		return p, err
	}
	r := fieldReader{fields: o.fields, msg: msg}
	p = wsx.Publication{
		Topic:       r.str(fieldTopic),
		Data:        string(content),
		Priority:    r.priority(),
		Expiration:  r.expiration(),
		MimeType:    r.str(fieldMimeType),
		CorrelID:    r.str(fieldCorrelID),
		InReplyTo:   r.str(fieldInReplyTo),
		ExtClientID: r.str(fieldExtClientID),
		ExtPubTime:  r.str(fieldExtPubTime),
		HasGD:       r.guaranteed(),
	}
	if r.err != nil {
		return p, fmt.Errorf("publishing to topic %q: %w", p.Topic, r.err)
	}
	return p, nil
}
