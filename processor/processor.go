// Package processor provides the zato_wsx processor, which invokes a Zato service for each
// message.
package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

func init() { //nolint:gochecknoinits // components of Connect register themselves
	service.MustRegisterBatchProcessor("zato_wsx", spec(), construct)
}

func construct(conf *service.ParsedConfig, res *service.Resources) (service.BatchProcessor, error) {
	return newProcessor(conf, res)
}

// processor invokes services. All threads of a pipeline share one processor.
type processor struct {
	lease       *connection.Lease
	res         *service.Resources
	tracer      *tracing.Tracer
	service     *service.InterpolatedString
	name        string             // the service, if static
	static      bool               // whether all messages have the same service
	request     *bloblang.Executor // nil if the request is the content
	timeout     time.Duration
	sem         chan struct{} // bounds the calls at any one time
	rateLimit   string
	retryOnLoss bool
	rawResponse bool // keep the white space that the server puts into JSON
}

func newProcessor(conf *service.ParsedConfig, res *service.Resources) (*processor, error) {
	p := &processor{res: res, tracer: tracing.New(res)}
	var err error
	if p.service, err = conf.FieldInterpolatedString(fieldService); err != nil {
		return nil, err
	}
	p.name, p.static = p.service.Static()
	format, err := conf.FieldString(fieldResponseFormat)
	if err != nil {
		return nil, err
	}
	p.rawResponse = format == formatRaw
	if conf.Contains(fieldRequest) {
		if p.request, err = conf.FieldBloblang(fieldRequest); err != nil {
			return nil, err
		}
	}
	if err := p.parseLimits(conf); err != nil {
		return nil, err
	}
	p.lease, err = connection.Acquire(conf, res)
	return p, err
}

func (p *processor) parseLimits(conf *service.ParsedConfig) error {
	var err error
	if p.timeout, err = config.ParseDuration(conf, fieldTimeout); err != nil {
		return err
	}
	inFlight, err := config.ParsePositive(conf, fieldMaxInFlight)
	if err != nil {
		return err
	}
	p.sem = make(chan struct{}, inFlight)
	if p.retryOnLoss, err = conf.FieldBool(fieldRetryLost); err != nil {
		return err
	}
	if p.rateLimit, err = conf.FieldString(fieldRateLimit); err != nil {
		return err
	}
	if p.rateLimit != "" && !p.res.HasRateLimit(p.rateLimit) {
		return fmt.Errorf("field %s: there is no rate limit resource with the label %q", fieldRateLimit, p.rateLimit)
	}
	return nil
}

// ProcessBatch invokes a service for each message of a batch, in parallel. A call that fails
// flags its message; ProcessBatch itself returns no error.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	c := p.newCalls(batch)
	var workers sync.WaitGroup
	for range min(len(batch), cap(p.sem)) - 1 {
		workers.Go(func() { p.worker(ctx, c) })
	}
	p.worker(ctx, c)
	workers.Wait()
	return []service.MessageBatch{batch}, nil
}

// timeslice is how long a worker holds the semaphore before it lets others have a turn. To
// release it after each call would cost a few percent of the time of a fast call.
const timeslice = 10 * time.Millisecond

// worker makes calls, one after the other, until none is left.
func (p *processor) worker(ctx context.Context, c *calls) {
	for more := true; more; {
		select {
		case p.sem <- struct{}{}:
		case <-ctx.Done():
			c.fail(ctx.Err())
			return
		}
		more = p.runTimeslice(ctx, c)
		<-p.sem
	}
}

// runTimeslice makes calls for one timeslice. It reports whether there may be more of them.
func (p *processor) runTimeslice(ctx context.Context, c *calls) (more bool) {
	start := time.Now()
	for now := start; now.Sub(start) < timeslice && ctx.Err() == nil; now = time.Now() {
		msg, call := c.next()
		if msg == nil {
			return false
		}
		call.Deadline = now.Add(p.timeout)
		p.invoke(ctx, call, msg)
	}
	return true
}

// invoke makes one call and stores its result in the message.
func (p *processor) invoke(ctx context.Context, call wsx.Call, msg *service.Message) {
	span := p.tracer.StartInvoke(msg, call.Service) //nolint:contextcheck // the span is in the message's own context
	resp, err := p.call(ctx, msg.Context(), call)
	var content []byte
	if err == nil {
		span.Describe(tracing.Message{ID: resp.MessageID})
		content, err = p.content(resp)
	}
	span.Finish(err)
	if err != nil {
		fail(msg, err)
		return
	}
	msg.SetBytes(content)
	msg.MetaSetMut(metaStatus, int64(resp.Status))
	msg.MetaSetMut(metaRequestID, resp.MessageID)
}

// content returns the content of a message for the answer of a service.
func (p *processor) content(resp *wsx.Response) ([]byte, error) {
	content, err := resp.Content()
	if isText := bytes.HasPrefix(resp.Data, []byte{'"'}); isText || p.rawResponse || err != nil {
		return content, err
	}
	return connection.OneLine(content), nil
}

// fail flags a message as failed. The message keeps its content.
func fail(msg *service.Message, err error) {
	var serverErr *wsx.ServerError
	if errors.As(err, &serverErr) {
		msg.MetaSetMut(metaStatus, int64(serverErr.Status))
		msg.MetaSetMut(metaCID, serverErr.CID)
	}
	msg.SetError(err)
}

// call calls a service. It gives up when ctx or msgCtx, the message's own context, ends. The
// input ends msgCtx if its client no longer waits for an answer.
func (p *processor) call(ctx, msgCtx context.Context, call wsx.Call) (*wsx.Response, error) {
	if msgCtx.Done() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(msgCtx, cancel)()
	}
	for {
		if p.rateLimit != "" {
			if err := p.awaitRate(ctx, call.Deadline); err != nil {
				return nil, err
			}
		}
		resp, err := p.lease.Call(ctx, call)
		lost := errors.Is(err, wsx.ErrConnectionLost)
		if !lost || !p.retryOnLoss || ctx.Err() != nil || !time.Now().Before(call.Deadline) {
			return resp, err
		}
	}
}

// awaitRate waits until the rate limit allows a call.
func (p *processor) awaitRate(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		var wait time.Duration
		var err error
		noResource := p.res.AccessRateLimit(ctx, p.rateLimit, func(r service.RateLimit) {
			wait, err = r.Access(ctx)
		})
		if err = errors.Join(noResource, err); err != nil {
			return fmt.Errorf("rate limit %q: %w", p.rateLimit, err)
		}
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("rate limit %q: %w", p.rateLimit, ctx.Err())
		}
	}
}

// Close releases the connections.
func (p *processor) Close(context.Context) error {
	p.lease.Release()
	return nil
}
