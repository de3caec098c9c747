// Package processor provides the zato_wsx processor, which invokes a Zato
// service for each message.
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

func init() { //nolint:gochecknoinits // how components of Connect are registered
	service.MustRegisterBatchProcessor("zato_wsx", spec(), construct)
}

func construct(conf *service.ParsedConfig, res *service.Resources) (service.BatchProcessor, error) {
	return newProcessor(conf, res)
}

// processor invokes services. One serves all threads of a pipeline.
type processor struct {
	lease       *connection.Lease
	res         *service.Resources
	tracer      *tracing.Tracer
	service     *service.InterpolatedString
	name        string             // the service, where static
	static      bool               // all messages are for the same service
	request     *bloblang.Executor // nil: the content
	timeout     time.Duration
	sem         chan struct{} // one for each call that may run
	rateLimit   string
	retryOnLoss bool
}

func newProcessor(conf *service.ParsedConfig, res *service.Resources) (*processor, error) {
	p := &processor{res: res, tracer: tracing.New(res)}
	var err error
	if p.service, err = conf.FieldInterpolatedString(fieldService); err != nil {
		return nil, err
	}
	p.name, p.static = p.service.Static()
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
		return fmt.Errorf("field %s: there is no rate limit resource %q", fieldRateLimit, p.rateLimit)
	}
	return nil
}

// ProcessBatch invokes a service for every message of a batch, in parallel. It
// never fails as a whole.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	wanted := p.callsOf(batch)
	var running sync.WaitGroup
	for range min(len(batch), cap(p.sem)) - 1 {
		running.Go(func() { p.worker(ctx, wanted) })
	}
	p.worker(ctx, wanted)
	running.Wait()
	return []service.MessageBatch{batch}, nil
}

// timeslice is how long a goroutine of a batch keeps its place before others may have it. To
// hand it on after each call costs a few hundredths of a call that takes no time.
const timeslice = 10 * time.Millisecond

// worker makes one call after the other while some are left.
func (p *processor) worker(ctx context.Context, wanted *calls) {
	for left := true; left; {
		select {
		case p.sem <- struct{}{}:
		case <-ctx.Done():
			wanted.fail(ctx.Err())
			return
		}
		left = p.runTimeslice(ctx, wanted)
		<-p.sem
	}
}

// runTimeslice makes calls with the place that it has. It returns false when none is
// left.
func (p *processor) runTimeslice(ctx context.Context, wanted *calls) (left bool) {
	began := time.Now()
	for now := began; now.Sub(began) < timeslice && ctx.Err() == nil; now = time.Now() {
		msg, call := wanted.take()
		if msg == nil {
			return false
		}
		call.Deadline = now.Add(p.timeout)
		p.invoke(ctx, call, msg)
	}
	return true
}

// invoke makes one call and puts what came of it into the message.
func (p *processor) invoke(ctx context.Context, call wsx.Call, msg *service.Message) {
	span := p.tracer.StartInvoke(msg, call.Service) //nolint:contextcheck // a message has a context of its own, for spans
	resp, err := p.call(ctx, msg.Context(), call)
	var content []byte
	if err == nil {
		span.Describe(tracing.Message{ID: resp.MessageID})
		content, err = resp.Content()
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

// fail flags a message and keeps its content.
func fail(msg *service.Message, err error) {
	var refused *wsx.ServerError
	if errors.As(err, &refused) {
		msg.MetaSetMut(metaStatus, int64(refused.Status))
		msg.MetaSetMut(metaCID, refused.CID)
	}
	msg.SetError(err)
}

// call calls a service until its deadline, and no longer than the message's own context
// lasts, which ends where the input's caller waits no more.
func (p *processor) call(ctx, wanted context.Context, call wsx.Call) (*wsx.Response, error) {
	if wanted.Done() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(wanted, cancel)()
	}
	for {
		if p.rateLimit != "" {
			if err := p.awaitRate(ctx, call.Deadline); err != nil {
				return nil, err
			}
		}
		resp, err := p.lease.Call(ctx, call)
		again := p.retryOnLoss && errors.Is(err, wsx.ErrConnectionLost) && ctx.Err() == nil && time.Now().Before(call.Deadline)
		if !again {
			return resp, err
		}
	}
}

// awaitRate waits until the rate limit lets a call through.
func (p *processor) awaitRate(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		var wait time.Duration
		var err error
		missing := p.res.AccessRateLimit(ctx, p.rateLimit, func(r service.RateLimit) {
			wait, err = r.Access(ctx)
		})
		if err = errors.Join(missing, err); err != nil {
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

// Close gives the connections back.
func (p *processor) Close(context.Context) error {
	p.lease.Release()
	return nil
}
