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

// constructRequests builds the input and wraps it like construct does.
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
	return struct {
		service.Input
		connectionTester
	}{traced, connectionTester{in.lease}}, nil
}

// requests receives requests from the server and answers them.
type requests struct {
	lease        *connection.Lease
	subscription *connection.RequestSubscription
	outcomes     *service.MetricCounter
	lateAnswers  *service.MetricCounter
	connector    connection.Connector

	recent recentRequests

	// queue is not buffered: a request that the pipeline does not take within the timeout is answered with an error.
	queue chan *request
	// ctx ends when Close is called.
	ctx    context.Context //nolint:containedctx // the input's own lifetime
	cancel context.CancelFunc
}

// request is a request on its way through the pipeline.
type request struct {
	*wsx.ServerRequest

	ctx    context.Context //nolint:containedctx // ends when the server does not need the answer any longer
	answer answerTo
}

// answerTo is where the answer to a request goes. It has a buffer for the one answer.
type answerTo chan answer

// respond answers the request. Only the first call has an effect.
func (to answerTo) respond(a answer) {
	select {
	case to <- a:
	default:
	}
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
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the input's own lifetime begins here
	in := &requests{
		lease:       lease,
		outcomes:    res.Metrics().NewCounter("zato_wsx_requests", "result"),
		lateAnswers: res.Metrics().NewCounter("zato_wsx_requests_answered_late"),
		queue:       make(chan *request),
		ctx:         ctx, cancel: cancel,
	}
	// Without these, the series would begin with the first request, and a rate would miss it.
	for _, result := range []string{"answered", "failed", "timed_out", "cancelled"} {
		in.outcomes.Incr(0, result)
	}
	in.lateAnswers.Incr(0)
	in.subscription, err = lease.SubscribeRequests(timeout, in.handle)
	return in, err
}

// handle sends a request to the pipeline and returns the pipeline's answer.
func (in *requests) handle(ctx context.Context, serverRequest *wsx.ServerRequest) (any, error) {
	r := &request{ServerRequest: serverRequest, ctx: ctx, answer: make(answerTo, 1)}
	select {
	case in.queue <- r:
	case <-ctx.Done():
		return in.cancelled(ctx)
	case <-in.ctx.Done():
		in.outcomes.Incr(1, "cancelled")
		return nil, errors.New("the pipeline was stopped")
	}
	select {
	case a := <-r.answer:
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

// cancelled counts a request whose context has ended, and returns the cause.
func (in *requests) cancelled(ctx context.Context) (any, error) {
	cause := context.Cause(ctx)
	result := "cancelled"
	if errors.Is(cause, context.DeadlineExceeded) {
		result = "timed_out"
	}
	in.outcomes.Incr(1, result)
	return nil, cause
}

// Connect waits until the server can send requests.
func (in *requests) Connect(ctx context.Context) error {
	if in.ctx.Err() != nil {
		return service.ErrEndOfInput
	}
	return in.connector.Connect(ctx, in.subscription.AwaitReady)
}

// Read returns the next request. It returns service.ErrNotConnected while there is no connection.
func (in *requests) Read(ctx context.Context) (*service.Message, service.AckFunc, error) {
	select {
	case r := <-in.queue:
		return in.newMessage(r)
	case <-in.subscription.Disconnected():
		return nil, nil, service.ErrNotConnected
	case <-in.ctx.Done():
		return nil, nil, service.ErrEndOfInput
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// newMessage returns the pipeline's message for a request. The message has the context of the request.
func (in *requests) newMessage(r *request) (*service.Message, service.AckFunc, error) {
	content, err := r.Content()
	if err != nil {
		r.answer.respond(answer{err: err})
		return nil, nil, fmt.Errorf("request %q: %w", r.ID, err)
	}
	msg := service.NewMessage(connection.OneLine(r.Data, content)).WithContext(r.ctx)
	msg.MetaSetMut(metaRequestID, r.ID)
	msg, responses := msg.WithSyncResponseStore()
	in.recent.add(r)
	return msg, func(_ context.Context, err error) error {
		if r.ctx.Err() != nil {
			in.lateAnswers.Incr(1)
		}
		value, err := reply(responses, err)
		if others := in.recent.others(r, responses); len(others) > 0 {
			value, err = nil, errBatched
			for _, other := range others {
				other.respond(answer{err: errBatched})
			}
		}
		r.answer.respond(answer{value, err})
		return nil
	}, nil
}

// errBatched is the answer to requests that have one response together, which the engine gives
// to the first of them.
var errBatched = errors.New("several requests are in one batch, so their answers cannot be told apart: " +
	"remove the batching of the input")

// Close rejects further requests and ends the subscription. It may be called several times.
func (in *requests) Close(context.Context) error {
	in.cancel()
	in.subscription.Close()
	in.lease.Release()
	return nil
}
