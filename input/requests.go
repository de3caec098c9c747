package input

import (
	"context"
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

func init() { //nolint:gochecknoinits // how components of Connect are registered
	service.MustRegisterInput("zato_wsx_requests", requestsSpec(), constructRequests)
}

func constructRequests(conf *service.ParsedConfig, res *service.Resources) (service.Input, error) {
	in, err := newRequests(conf, res)
	if err != nil {
		return nil, err
	}
	inFlight, err := config.ParsePositive(conf, fieldMaxInFlight)
	if err != nil {
		return nil, err
	}
	traced, err := conf.WrapInputExtractTracingSpanMapping("zato_wsx_requests", service.InputWithMaxInFlight(inFlight, in))
	if err != nil {
		return nil, err
	}
	return requestsConnectionTester{Input: traced, lease: in.lease}, nil
}

// requestsConnectionTester shows again what the tracing wrapper hides.
type requestsConnectionTester struct {
	service.Input

	lease *connection.Lease
}

// ConnectionTest logs in.
func (t requestsConnectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// requests receives requests of the server and answers them.
type requests struct {
	lease        *connection.Lease
	subscription *connection.RequestSubscription
	outcomes     *service.MetricCounter
	lateAnswers  *service.MetricCounter

	// queue is not buffered: a request that nobody takes in time is refused.
	queue chan *request
	// ctx ends when Close is called.
	ctx    context.Context //nolint:containedctx // the input's own life
	cancel context.CancelFunc
}

// request is one request on its way through the pipeline.
type request struct {
	*wsx.ServerRequest

	ctx    context.Context //nolint:containedctx // ends when the answer is not wanted any more
	answer chan answer     // room for the one answer
}

type answer struct {
	value any
	err   error
}

func newRequests(conf *service.ParsedConfig, res *service.Resources) (*requests, error) {
	timeout, err := config.ParseDuration(conf, fieldTimeout)
	if err != nil {
		return nil, err
	}
	lease, err := connection.Acquire(conf, res)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // the input's own life begins here
	in := &requests{
		lease:       lease,
		outcomes:    res.Metrics().NewCounter("zato_wsx_requests", "result"),
		lateAnswers: res.Metrics().NewCounter("zato_wsx_requests_answered_late"),
		queue:       make(chan *request),
		ctx:         life, cancel: end,
	}
	in.subscription, err = lease.SubscribeRequests(timeout, in.handle)
	return in, err
}

// handle hands a request to the pipeline and waits for what becomes of it.
func (in *requests) handle(ctx context.Context, r *wsx.ServerRequest) (any, error) {
	one := &request{ServerRequest: r, ctx: ctx, answer: make(chan answer, 1)}
	select {
	case in.queue <- one:
	case <-ctx.Done():
		return in.cancelled(ctx)
	case <-in.ctx.Done():
		in.outcomes.Incr(1, "cancelled")
		return nil, errors.New("the pipeline was stopped")
	}
	select {
	case a := <-one.answer:
		result := "answered"
		if a.err != nil {
			result = "failed"
		}
		in.outcomes.Incr(1, result)
		return a.value, a.err
	case <-ctx.Done():
		return in.cancelled(ctx)
	}
}

// cancelled counts a request whose answer is not wanted any more.
func (in *requests) cancelled(ctx context.Context) (any, error) {
	cause := context.Cause(ctx)
	result := "cancelled"
	if errors.Is(cause, context.DeadlineExceeded) {
		result = "timed_out"
	}
	in.outcomes.Incr(1, result)
	return nil, cause
}

// Connect waits until requests can come.
func (in *requests) Connect(ctx context.Context) error {
	if in.ctx.Err() != nil {
		return service.ErrEndOfInput
	}
	return in.subscription.AwaitReady(ctx)
}

// Read returns the next request.
func (in *requests) Read(ctx context.Context) (*service.Message, service.AckFunc, error) {
	select {
	case one := <-in.queue:
		return in.message(one)
	case <-in.subscription.Disconnected():
		return nil, nil, service.ErrNotConnected
	case <-in.ctx.Done():
		return nil, nil, service.ErrEndOfInput
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// message makes a request a message of the pipeline. The message's context ends
// when the answer is not wanted any more.
func (in *requests) message(one *request) (*service.Message, service.AckFunc, error) {
	content, err := one.Content()
	if err != nil {
		one.respond(answer{err: err})
		return nil, nil, fmt.Errorf("request %q: %w", one.ID, err)
	}
	msg := service.NewMessage(content).WithContext(one.ctx)
	msg.MetaSetMut(metaRequestID, one.ID)
	msg, responses := msg.WithSyncResponseStore()
	return msg, func(_ context.Context, err error) error {
		if one.ctx.Err() != nil {
			in.lateAnswers.Incr(1)
		}
		value, err := reply(responses, err)
		one.respond(answer{value, err})
		return nil
	}, nil
}

// respond answers, the first time it is called.
func (one *request) respond(a answer) {
	select {
	case one.answer <- a:
	default:
	}
}

// Close refuses what comes from now on and ends the session.
func (in *requests) Close(context.Context) error {
	in.cancel()
	in.subscription.Close()
	in.lease.Release()
	return nil
}
