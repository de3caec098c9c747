package connection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// A connection beyond the first is closed after idleLimit without a call. The sweeper looks
// for such connections sweepsPerLimit times within the limit.
const (
	idleLimit      = time.Minute
	sweepsPerLimit = 2
)

// pool shares connections among callers, and is the only place that admits a call to a
// connection. A connection is free while fewer than perConnection calls are admitted to it;
// a call counts until its caller releases the connection or, if the caller gave up, until
// the server answers it or the connection ends. A caller that finds no connection ready and
// free waits in a queue, in order of arrival. Whenever a call ends or a client becomes
// ready, the first callers in the queue get the free connections, no matter for which caller
// the pool opened them. The pool opens more connections, up to limit, while those that it has
// are connected and busy; while none is connected, it opens only one.
type pool struct {
	limit, perConnection int
	newClient            func(adapt func(*wsx.Config)) (*wsx.Client, error)

	running sync.WaitGroup
	stop    chan struct{}

	// mu guards the fields below. Nothing may block while it is held. In particular no
	// client may be closed: the client reports that to onState, which takes the mutex.
	mu       sync.Mutex
	members  []*member
	queue    []waiter // for a connection that is ready and free
	probes   []waiter // for a connection that is ready
	closed   bool
	sweeping bool
}

// member is one client of the pool.
type member struct {
	client     *wsx.Client
	inUse      int       // calls that were admitted and whose callers have not released the member
	idleSweeps int       // sweeps since the last release
	state      wsx.State // the last state that the client reported, with its error
	err        error
}

// waiter is a caller that waits. Its channel has a buffer of one and gets one grant.
type waiter chan grant

// grant ends a wait. It holds the member to which a caller from the queue was admitted, or an
// error.
type grant struct {
	member *member
	err    error
}

func newPool(
	limit, perConnection int, newClient func(adapt func(*wsx.Config)) (*wsx.Client, error),
) *pool {
	return &pool{limit: limit, perConnection: perConnection, newClient: newClient, stop: make(chan struct{})}
}

// acquire admits a call to a connection. The caller must release the member. acquire waits
// for a connection until ctx ends or the deadline passes, if it is set; with neither, it
// waits for wsx.DefaultCallTimeout. It fails at once when the server rejects the clients.
// After an error nothing was sent.
func (p *pool) acquire(ctx context.Context, deadline time.Time) (*member, error) {
	if m := p.tryAcquire(); m != nil {
		return m, nil
	}
	if deadline.IsZero() {
		var bounded bool
		if deadline, bounded = ctx.Deadline(); !bounded {
			deadline = time.Now().Add(wsx.DefaultCallTimeout)
		}
	}
	// The context is made before the caller is admitted, so that no connection waits for it.
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return p.wait(ctx, &p.queue)
}

// awaitReady connects if need be and waits until a connection is ready, free or not. It
// fails when ctx ends, and at once when the server rejects the clients.
func (p *pool) awaitReady(ctx context.Context) error {
	_, err := p.wait(ctx, &p.probes)
	return err
}

// tryAcquire admits a call if a connection is free and no caller waits for one. Otherwise it
// returns nil.
func (p *pool) tryAcquire() *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return nil
	}
	m := p.leastLoaded()
	if m != nil {
		m.inUse++
	}
	return m
}

// wait waits for a grant in p.queue or in p.probes, until ctx ends.
func (p *pool) wait(ctx context.Context, waiters *[]waiter) (*member, error) {
	w := p.enqueue(waiters) //nolint:contextcheck // a connection outlives the caller for whom it is opened
	select {
	case g := <-w:
		return g.member, g.err
	case <-ctx.Done():
		p.dequeue(w, waiters)
		return nil, p.explain(ctx)
	}
}

// enqueue adds a waiter, and opens a connection if that is needed.
func (p *pool) enqueue(waiters *[]waiter) waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := make(waiter, 1)
	*waiters = append(*waiters, w)
	p.serve()
	p.grow()
	if err := p.refusal(); err != nil {
		p.failAll(err)
	}
	return w
}

// dequeue removes a waiter. If it got a member at the same moment, dequeue releases that.
func (p *pool) dequeue(w waiter, waiters *[]waiter) {
	p.mu.Lock()
	*waiters = slices.DeleteFunc(*waiters, func(other waiter) bool { return other == w })
	p.mu.Unlock()
	select {
	case g := <-w:
		if g.member != nil {
			p.release(g.member)
		}
	default:
	}
}

// explain returns why there was no connection before ctx ended.
func (p *pool) explain(ctx context.Context) error {
	p.mu.Lock()
	members, connected := p.members, p.isConnected()
	p.mu.Unlock()
	if len(members) > 0 && !connected {
		if err := members[0].client.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("no connection was free: %w", context.Cause(ctx))
}

// release ends a call that acquire admitted, and serves the queue.
func (p *pool) release(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.inUse--
	m.idleSweeps = 0
	p.serve()
}

// serve admits callers from the queue to connections that are free, and ends the probes if a
// connection is ready. The mutex is held.
func (p *pool) serve() {
	for len(p.queue) > 0 {
		m := p.leastLoaded()
		if m == nil {
			break
		}
		m.inUse++
		p.queue[0] <- grant{member: m}
		p.queue = p.queue[1:]
	}
	for len(p.probes) > 0 && p.isConnected() {
		p.probes[0] <- grant{}
		p.probes = p.probes[1:]
	}
}

// failAll ends all waits with an error. The mutex is held.
func (p *pool) failAll(err error) {
	for _, w := range slices.Concat(p.queue, p.probes) {
		w <- grant{err: err}
	}
	p.queue, p.probes = nil, nil
}

// leastLoaded returns the free connection with the fewest calls, or nil. The mutex is held.
func (p *pool) leastLoaded() *member {
	var best *member
	least := p.perConnection
	for _, m := range p.members {
		if m.inUse >= least { // spares the client's counters
			continue
		}
		if load := m.load(); load < least && m.client.Connected() {
			best, least = m, load
		}
	}
	return best
}

// load returns how many calls are admitted to a member.
func (m *member) load() int { return m.inUse + m.client.Abandoned() }

// refusal returns why there is no point in waiting: the pool is closed, or the server
// rejected all clients and they wait for their next attempts. The mutex is held.
func (p *pool) refusal() error {
	if p.closed {
		return wsx.ErrClosed
	}
	var rejection error
	for _, m := range p.members {
		if m.state != wsx.Waiting || !wsx.IsRejected(m.err) {
			return nil
		}
		rejection = fmt.Errorf("%w: %w", wsx.ErrNotConnected, m.err)
	}
	return rejection
}

// grow opens connections: the first one if there is none, and as many more as the callers in
// the queue need while all connections that are ready are busy. If a client cannot be made,
// all waits end with the error. The mutex is held.
func (p *pool) grow() {
	connected, opening := false, 0
	for _, m := range p.members {
		if m.client.Connected() {
			connected = true
		} else if m.state != wsx.Waiting {
			opening++
		}
	}
	for !p.closed && len(p.members) < p.limit {
		needed := connected && opening*p.perConnection < len(p.queue)
		if !needed && len(p.members) > 0 {
			break
		}
		if err := p.open(); err != nil {
			p.failAll(err)
			break
		}
		opening++
	}
}

// open adds a client, which connects in the background. The mutex is held.
func (p *pool) open() error {
	m := &member{}
	var err error
	m.client, err = p.newClient(func(c *wsx.Config) {
		c.OnState = func(state wsx.State, err error) { p.onState(m, state, err) }
		c.OnLateAnswer = p.onLateAnswer
	})
	if err != nil {
		return err
	}
	p.members = append(p.members, m)
	m.client.Connect()
	if !p.sweeping && len(p.members) > 1 {
		p.sweeping = true
		p.running.Go(p.sweep)
	}
	return nil
}

// onState ends waits when a client becomes ready and when the server has rejected all clients.
func (p *pool) onState(m *member, state wsx.State, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.state, m.err = state, err
	if state == wsx.Ready {
		p.serve()
		p.grow()
	}
	if err := p.refusal(); err != nil {
		p.failAll(err)
	}
}

// onLateAnswer serves the queue when the server has answered a call that its caller gave up.
func (p *pool) onLateAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve()
}

// connected reports whether a connection is ready.
func (p *pool) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isConnected()
}

// isConnected is connected for callers that hold the mutex.
func (p *pool) isConnected() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.client.Connected() })
}

// sweep closes idle connections until the pool is closed.
func (p *pool) sweep() {
	tick := time.NewTicker(idleLimit / sweepsPerLimit)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, m := range p.removeIdle() {
				_ = m.client.Close()
			}
		case <-p.stop:
			return
		}
	}
}

// removeIdle removes idle members and returns them. One member stays, preferably a connected
// one. While callers wait, all members stay: each may be the next to connect.
func (p *pool) removeIdle() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return nil
	}
	stays := max(0, slices.IndexFunc(p.members, func(m *member) bool { return m.client.Connected() }))
	var kept, idle []*member
	for i, m := range p.members {
		if i != stays && m.load() == 0 && m.idleSweeps >= sweepsPerLimit {
			idle = append(idle, m)
			continue
		}
		m.idleSweeps++
		kept = append(kept, m)
	}
	p.members = kept
	return idle
}

// close closes all connections at once and waits until they are closed. Callers that wait
// get wsx.ErrClosed.
func (p *pool) close() {
	p.mu.Lock()
	members, first := p.members, !p.closed
	p.members, p.closed = nil, true
	p.failAll(wsx.ErrClosed)
	p.mu.Unlock()
	if first {
		close(p.stop)
	}
	for _, m := range members {
		p.running.Go(func() { _ = m.client.Close() })
	}
	p.running.Wait()
}
