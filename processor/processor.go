// Package processor provides the zato_wsx processor, which invokes a Zato service for each
// message.
package processor

import (
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

	maxList  int // the longest list
	parallel int // how many requests of a list the server runs at once
	speeds   speeds
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
	if p.maxList, err = config.ParsePositive(conf, fieldMaxList); err != nil {
		return err
	}
	if p.parallel, err = config.ParsePositive(conf, fieldParallel); err != nil {
		return err
	}
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

// ProcessBatch invokes a service for each message of a batch: with lists if the gateway can
// invoke them, otherwise with calls in parallel. A call that fails flags its message;
// ProcessBatch itself returns no error.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	c := p.newCalls(batch)
	if p.useLists(len(batch)) {
		p.invokeLists(ctx, c)
	} else {
		p.run(ctx, c, len(batch))
	}
	return []service.MessageBatch{batch}, nil
}

// work is what the workers of a batch share. Its methods may be called by several goroutines
// at once.
type work interface {
	// runNext makes the next call. It reports whether there may be more of them.
	runNext(ctx context.Context, now time.Time) (more bool)
	// fail flags the messages whose calls have not been made.
	fail(err error)
}

// run makes n calls with as many workers as may run at once.
func (p *processor) run(ctx context.Context, w work, n int) {
	var workers sync.WaitGroup
	for range min(n, cap(p.sem)) - 1 {
		workers.Go(func() { p.worker(ctx, w) })
	}
	p.worker(ctx, w)
	workers.Wait()
}

// timeslice is how long a worker holds the semaphore before it lets others have a turn. To
// release it after each call would cost a few percent of the time of a fast call.
const timeslice = 10 * time.Millisecond

// worker makes calls, one after the other, until none is left.
func (p *processor) worker(ctx context.Context, w work) {
	for more := true; more; {
		select {
		case p.sem <- struct{}{}:
		case <-ctx.Done():
			w.fail(ctx.Err())
			return
		}
		more = runTimeslice(ctx, w)
		<-p.sem
	}
}

// runTimeslice makes calls for one timeslice. It reports whether there may be more of them.
func runTimeslice(ctx context.Context, w work) (more bool) {
	start := time.Now()
	for now := start; now.Sub(start) < timeslice && ctx.Err() == nil; now = time.Now() {
		if !w.runNext(ctx, now) {
			return false
		}
	}
	return true
}

// start sets the deadline of a request and starts its span, unless that is done.
func (p *processor) start(req *request, now time.Time) {
	if req.call.Deadline.IsZero() {
		req.call.Deadline = now.Add(p.timeout)
	}
	if req.span == nil {
		req.span = p.tracer.StartInvoke(req.msg, req.call.Service)
	}
}

// invoke makes a call for one request and stores its result.
func (p *processor) invoke(ctx context.Context, req *request) {
	resp, err := p.call(ctx, req)
	p.finish(req, resp, err)
}

// finish stores the result of a request in its message.
func (p *processor) finish(req *request, resp *wsx.Response, err error) {
	var content []byte
	if err == nil {
		req.span.Describe(tracing.Message{ID: resp.MessageID})
		content, err = p.content(resp)
	}
	req.span.Finish(err)
	if err != nil {
		fail(req.msg, err)
		return
	}
	req.msg.SetBytes(content)
	req.msg.MetaSetMut(metaStatus, int64(resp.Status))
	req.msg.MetaSetMut(metaRequestID, resp.MessageID)
}

// content returns the content of a message for the answer of a service.
func (p *processor) content(resp *wsx.Response) ([]byte, error) {
	content, err := resp.Content()
	if p.rawResponse || err != nil {
		return content, err
	}
	return connection.OneLine(resp.Data, content), nil
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

// call calls a service. It gives up when ctx or the message's own context ends. The rate limit
// has to admit each attempt.
func (p *processor) call(ctx context.Context, req *request) (resp *wsx.Response, err error) {
	ctx, cancel := untilEither(ctx, req.msg.Context())
	defer cancel()
	err = connection.Repeat(ctx, req.call.Deadline, p.repeats, func() (err error) {
		if p.rateLimit != "" && !req.admitted {
			if err := p.awaitRate(ctx, req.call.Deadline); err != nil {
				return err
			}
		}
		req.admitted = false
		resp, err = p.lease.Call(ctx, req.call)
		return err
	})
	return resp, err
}

// untilEither returns a context that ends when ctx or msgCtx, a message's own context, ends.
// The input ends msgCtx if its client no longer waits for an answer.
func untilEither(ctx, msgCtx context.Context) (context.Context, context.CancelFunc) {
	if msgCtx.Done() == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(msgCtx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// repeats reports whether a request is sent again after an error.
func (p *processor) repeats(err error) bool {
	unanswered := errors.Is(err, wsx.ErrConnectionLost) || errors.Is(err, wsx.ErrNotFinished)
	return errors.Is(err, wsx.ErrNotRun) || unanswered && p.retryOnLoss
}

// mayRepeat reports whether there is time to send a request again after an error.
func (p *processor) mayRepeat(ctx context.Context, err error, deadline time.Time) bool {
	return p.repeats(err) && ctx.Err() == nil && time.Now().Before(deadline)
}

// Close releases the connections.
func (p *processor) Close(context.Context) error {
	p.lease.Release()
	return nil
}
