package input

import (
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// fetchLease is for how long the messages of a shared subscription stay with this process unless it renews that.
	fetchLease = 30 * time.Second
	// renewInterval is how often it does. A consumer that is idle for longer than idleLimit loses its subscription to
	// one that stands by, so there is a call in each interval, whatever the pipeline does.
	renewInterval = fetchLease / 3
)

// outstanding has the messages that Zato has handed out and that are not confirmed: those that wait for the pipeline,
// those that the pipeline has, and those that it has settled since the last call. So its size is bounded by
// prefetch_count and by what the pipeline takes. Several goroutines may use it at once.
type outstanding struct {
	limits wsx.Limits
	// prefetch is the number of batches that may wait for the pipeline.
	prefetch int
	shared   bool
	// settled gets a signal when a message was settled or taken, arrived when a message waits.
	settled, arrived chan struct{}

	// mu guards the fields below. Nothing blocks while it is held.
	mu      sync.Mutex
	waiting []message
	held    map[string]bool // by id: whether it waits or the pipeline has it; false if it is settled
	inUse   int             // how many of held are true
	// The next calls report these ids: confirmed and returned are of settled messages, renewed of others.
	confirmed, returned, renewed []string
	// delayed are settled messages that will be returned.
	delayed   []delayedReturn
	calledAt  time.Time // when the last request was made
	renewedAt time.Time // when renewed was filled
	heldUntil time.Time // no message is taken before
	pace      pace
}

// defaultFetchSeconds is for how long a fetch may wait if the gateway does not say it.
const defaultFetchSeconds = 10

func newOutstanding(limits wsx.Limits, prefetch int, shared bool) *outstanding {
	if limits.FetchMessages == 0 {
		limits.FetchMessages = coalesceLimit
	}
	if limits.IDs == 0 {
		limits.IDs = coalesceLimit
	}
	if limits.FetchSeconds == 0 {
		limits.FetchSeconds = defaultFetchSeconds
	}
	return &outstanding{
		limits: limits, prefetch: prefetch, shared: shared,
		settled: make(chan struct{}, 1), arrived: make(chan struct{}, 1), held: map[string]bool{},
	}
}

// shortWait is how long a fetch waits at the server while the pipeline has messages, so that its confirmations do not
// wait for long.
const shortWait = 500 * time.Millisecond

// request returns the next call. It takes messages if a batch has room; if not, it only reports what was settled, and
// is nil if there is nothing to report. If prompt is true, the server does not wait for messages.
func (o *outstanding) request(prompt bool, now time.Time) *wsx.FetchRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endDelays(now)
	if o.shared && now.Sub(o.renewedAt) >= renewInterval {
		o.renewedAt, o.renewed = now, o.heldIDs()
	}
	r := &wsx.FetchRequest{
		Confirmed: head(o.confirmed, o.limits.IDs), Returned: head(o.returned, o.limits.IDs),
		Renewed: head(o.renewed, o.limits.IDs),
	}
	if o.shared {
		r.Lease = fetchLease
	}
	reports := len(r.Confirmed) + len(r.Returned) + len(r.Renewed)
	size := o.batchSize(now)
	room := o.prefetch*size - len(o.waiting)
	switch {
	case room >= size && len(o.delayed) < coalesceLimit && !now.Before(o.heldUntil):
		r.Max = min(room, o.limits.FetchMessages)
	case reports == 0 && now.Sub(o.calledAt) < renewInterval:
		return nil
	}
	o.calledAt = now
	switch {
	case prompt || r.Max == 0 || reports < len(o.confirmed)+len(o.returned)+len(o.renewed):
	case o.inUse > 0:
		r.Wait = shortWait
	default:
		r.Wait = time.Duration(o.limits.FetchSeconds * float64(time.Second))
	}
	for _, d := range o.delayed {
		r.Wait = min(r.Wait, d.due.Sub(now))
	}
	return r
}

// batchSize returns how many messages a batch may have. The caller holds mu.
func (o *outstanding) batchSize(now time.Time) int {
	if !o.shared {
		return coalesceLimit
	}
	return o.pace.batchSize(o.inUse, now)
}

// unsettled returns how many messages wait or are in the pipeline.
func (o *outstanding) unsettled() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inUse
}

// hold makes requests take no messages until a time.
func (o *outstanding) hold(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heldUntil = until
}

// nextCall returns how long there is no reason for a call unless a message is settled or taken.
func (o *outstanding) nextCall() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := renewInterval
	if left := time.Until(o.heldUntil); left > 0 {
		next = min(next, left)
	}
	for _, d := range o.delayed {
		next = min(next, time.Until(d.due))
	}
	return next
}

// confirmation returns a call that only confirms.
func (o *outstanding) confirmation() *wsx.FetchRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &wsx.FetchRequest{Confirmed: head(o.confirmed, o.limits.IDs)}
}

// head returns a copy of the first n ids, or of all if there are fewer.
func head(ids []string, n int) []string { return append([]string(nil), ids[:min(n, len(ids))]...) }

// heldIDs returns the ids of the messages that are not settled. The caller holds mu.
func (o *outstanding) heldIDs() []string {
	var ids []string
	for id, held := range o.held {
		if held {
			ids = append(ids, id)
		}
	}
	return ids
}

// reported forgets what a call has reported.
func (o *outstanding) reported(r *wsx.FetchRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ids := range [][]string{r.Confirmed, r.Returned} {
		for _, id := range ids {
			delete(o.held, id)
		}
	}
	o.confirmed = slices.Delete(o.confirmed, 0, len(r.Confirmed))
	o.returned = slices.Delete(o.returned, 0, len(r.Returned))
	o.renewed = slices.Delete(o.renewed, 0, min(len(r.Renewed), len(o.renewed)))
}

// add adds messages that were handed out, except those that the pipeline has or has settled already. Zato hands these
// out again after a call whose answer was lost. It returns how many they are.
func (o *outstanding) add(messages []wsx.Message) (duplicates int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pace.advance(o.inUse, time.Now())
	for i := range messages {
		m := &messages[i]
		if _, known := o.held[m.MsgID]; known {
			duplicates++
			continue
		}
		o.held[m.MsgID] = true
		o.inUse++
		o.waiting = append(o.waiting, message{Message: m})
	}
	if len(o.waiting) > 0 {
		notify(o.arrived)
	}
	return duplicates
}

// take removes and returns the messages of the next batch. It returns none if none wait.
func (o *outstanding) take() []message {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.waiting), coalesceLimit)
	if n == 0 {
		return nil
	}
	batch := o.waiting[:n:n]
	if o.waiting = o.waiting[n:]; len(o.waiting) > 0 {
		notify(o.arrived)
	} else {
		o.waiting = nil
	}
	notify(o.settled)
	return batch
}

// settle notes that messages are settled.
func (o *outstanding) settle(messages []message, as outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pace.settle(len(messages), o.inUse, time.Now())
	o.inUse -= len(messages)
	for _, m := range messages {
		o.held[m.MsgID] = false
		delay := returnDelay(m.DeliveryCount)
		switch {
		case as == acknowledged:
			o.confirmed = append(o.confirmed, m.MsgID)
		case delay == 0:
			o.returned = append(o.returned, m.MsgID)
		default:
			o.delayed = append(o.delayed, delayedReturn{m.MsgID, time.Now().Add(delay)})
		}
	}
	notify(o.settled)
}

// delayedReturn is a message that is returned at a time.
type delayedReturn struct {
	id  string
	due time.Time
}

// maxReturnDelay is the longest delay of a return. With it, a message is returned long before its lease ends.
const maxReturnDelay = 5 * time.Second

// returnDelay returns how long after its rejection a message is returned, so that a message that always fails does not
// come again all the time. The first time, that is at once.
func returnDelay(deliveries int) time.Duration {
	if deliveries <= 1 {
		return 0
	}
	const first, mostDoublings = 10 * time.Millisecond, 9
	return min(first<<min(deliveries-2, mostDoublings), maxReturnDelay)
}

// endDelays lets the next call return the messages whose delays are over. The caller holds mu.
func (o *outstanding) endDelays(now time.Time) {
	o.delayed = slices.DeleteFunc(o.delayed, func(d delayedReturn) bool {
		over := !now.Before(d.due)
		if over {
			o.returned = append(o.returned, d.id)
		}
		return over
	})
}

// dropWaiting forgets the messages that the pipeline does not have, because another consumer gets them.
func (o *outstanding) dropWaiting() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inUse -= len(o.waiting)
	for _, m := range o.waiting {
		delete(o.held, m.MsgID)
	}
	o.endDelays(time.Now().Add(maxReturnDelay))
	for _, id := range o.returned {
		delete(o.held, id)
	}
	o.waiting, o.returned, o.renewed = nil, nil, nil
}

// final returns the calls with which a consumer reports everything when it is closed, and how many messages it gives
// back. There are none if a consumer of a shared subscription has nothing to report.
func (o *outstanding) final() (requests []wsx.FetchRequest, unsettled int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	returned := o.heldIDs()
	unsettled = len(returned)
	o.endDelays(time.Now().Add(maxReturnDelay))
	returned = append(returned, o.returned...)
	confirmed := o.confirmed
	for more := !o.shared; more || len(confirmed)+len(returned) > 0; more = false {
		r := wsx.FetchRequest{Confirmed: head(confirmed, o.limits.IDs), Returned: head(returned, o.limits.IDs)}
		confirmed, returned = confirmed[len(r.Confirmed):], returned[len(r.Returned):]
		requests = append(requests, r)
	}
	if !o.shared {
		requests[len(requests)-1].Release = true
	}
	return requests, unsettled
}
