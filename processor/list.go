package processor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

// useLists reports whether the messages of a batch go out in lists. It is optimistic if it is
// not known what the gateway can do.
func (p *processor) useLists(messages int) bool {
	if messages == 1 || p.maxList == 1 || p.static && p.name == "" {
		return false
	}
	d := p.lease.Described()
	return d == nil || d.Offers(wsx.AbilityInvokeList)
}

// invokeLists makes the calls of a batch, with several messages in each. What the server did
// not run goes out in another round.
func (p *processor) invokeLists(ctx context.Context, c *calls) {
	var pending []*request
	for req, found := c.next(); found; req, found = c.next() {
		req.alone = req.call.Service == ""
		pending = append(pending, &req)
	}
	for len(pending) > 0 {
		r := p.newRound(pending)
		p.run(ctx, r, len(r.lists))
		pending = r.repeated
	}
}

// round sends each request of a batch once, in lists.
type round struct {
	p *processor

	mu       sync.Mutex // guards the fields below
	lists    [][]*request
	repeated []*request // those to send again in the next round
}

// listKey is what the requests of a list have in common.
type listKey struct {
	service  string
	deadline time.Time
}

func (p *processor) newRound(requests []*request) *round {
	r := &round{p: p}
	lists := map[listKey][]*request{}
	var keys []listKey // in the order of the batch
	for _, req := range requests {
		if req.alone {
			r.lists = append(r.lists, []*request{req})
			continue
		}
		key := listKey{req.call.Service, req.call.Deadline}
		if lists[key] == nil {
			keys = append(keys, key)
		}
		lists[key] = append(lists[key], req)
	}
	for _, key := range keys {
		list := lists[key]
		list[0].alone = len(list) == 1
		length := p.speeds.listLength(key.service, p.parallel, p.maxList)
		if length == 1 { // a single call costs less, but does not tell the speed
			for _, req := range list[1:] {
				req.alone = true
			}
		}
		r.lists = slices.AppendSeq(r.lists, slices.Chunk(list, length))
	}
	return r
}

func (r *round) next() []*request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lists) == 0 {
		return nil
	}
	list := r.lists[0]
	r.lists = r.lists[1:]
	return list
}

// runNext sends the next list.
func (r *round) runNext(ctx context.Context, now time.Time) (more bool) {
	list := r.next()
	if list == nil {
		return false
	}
	for _, req := range list {
		r.p.start(req, now) //nolint:contextcheck // the span is in the message's own context
	}
	if list[0].alone {
		r.p.invoke(ctx, list[0])
	} else if list = r.admit(ctx, list); len(list) > 0 {
		r.invoke(ctx, list)
	}
	return true
}

// fail flags the messages that have not been sent.
func (r *round) fail(err error) {
	for list := r.next(); list != nil; list = r.next() {
		r.finish(list, err)
	}
}

func (r *round) finish(list []*request, err error) {
	for _, req := range list {
		r.p.finish(req, nil, err)
	}
}

// repeat sends a request again in the next round.
func (r *round) repeat(req *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repeated = append(r.repeated, req)
}

// repeatUntouched sends a request again that the server did not get to. It has all the time
// for which a message may take.
func (r *round) repeatUntouched(req *request) {
	req.call.Deadline = time.Time{}
	r.repeat(req)
}

// admit waits until the rate limit allows the first request of a list. It returns this one
// with those behind it that are also allowed by then. The others are for the next round.
func (r *round) admit(ctx context.Context, list []*request) []*request {
	if r.p.rateLimit == "" {
		return list
	}
	for n, req := range list {
		if req.admitted {
			continue
		}
		if n == 0 {
			if err := r.p.awaitRate(ctx, req.call.Deadline); err != nil {
				r.finish(list, err)
				return nil
			}
		} else if wait, err := r.p.accessRate(ctx); wait > 0 || err != nil {
			for _, later := range list[n:] {
				r.repeatUntouched(later)
			}
			return list[:n]
		}
		req.admitted = true
	}
	return list
}

// invoke sends a list and stores its results.
func (r *round) invoke(ctx context.Context, list []*request) {
	p, first := r.p, list[0]
	if len(list) == 1 {
		var cancel context.CancelFunc
		ctx, cancel = untilEither(ctx, first.msg.Context())
		defer cancel()
	}
	call := wsx.ListCall{
		Service: first.call.Service, Deadline: first.call.Deadline, Parallel: p.parallel, StartWithin: startWithin,
	}
	for _, req := range list {
		call.Requests = append(call.Requests, req.call.Request)
	}
	answer, err := p.lease.InvokeList(ctx, call)
	if err != nil {
		r.finishLost(ctx, list, err)
		return
	}
	ran := 0
	for _, result := range answer.Results {
		if hasRun(result.Err) {
			ran++
		}
	}
	p.speeds.record(call.Service, answer.Duration, ran)
	for i, req := range list {
		result := answer.Results[i]
		req.admitted = req.admitted && !hasRun(result.Err)
		switch {
		case errors.Is(result.Err, wsx.ErrNotRun) && ran > 0:
			r.repeatUntouched(req)
		case p.mayRepeat(ctx, result.Err, req.call.Deadline):
			r.repeat(req)
		default:
			p.finish(req, result.Response, result.Err)
		}
	}
}

// hasRun reports whether a service ran for a request with this error.
func hasRun(err error) bool { return err == nil || wsx.SendStatusOf(err) != wsx.NotSent }

// divide sends the requests of a list that was too large in two lists. A request that is alone
// goes out without a list, which is shorter.
func (r *round) divide(list []*request, err error) {
	for _, req := range list {
		req.admitted = req.admitted && !hasRun(err)
		req.call.Deadline = time.Time{}
	}
	half := (len(list) + 1) / 2 //nolint:mnd // halves
	r.mu.Lock()
	defer r.mu.Unlock()
	for part := range slices.Chunk(list, half) {
		part[0].alone = len(part) == 1
		r.lists = append(r.lists, part)
	}
}

// finishLost handles a list without an answer.
func (r *round) finishLost(ctx context.Context, list []*request, err error) {
	switch {
	case errors.Is(err, wsx.ErrNotOffered):
		for _, req := range list {
			req.alone = true
			r.repeatUntouched(req)
		}
	case connection.IsTooLarge(err, r.p.repeats):
		r.divide(list, err)
	case r.p.mayRepeat(ctx, err, list[0].call.Deadline):
		for _, req := range list {
			req.admitted = false
			r.repeat(req)
		}
	default:
		r.finish(list, err)
	}
}
