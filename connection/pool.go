package connection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// The sweeper closes a connection that has had no call for idleLimit, unless it is the only
// one. It looks for such connections sweepsPerLimit times in each idleLimit, so a connection
// can stay open a little longer.
const (
	idleLimit      = time.Minute
	sweepsPerLimit = 2
)

// pool shares connections among callers. Nothing else admits a call to a connection.
//
// A connection is ready while its client is logged in (wsx.Client.Connected). It is free
// while it is ready and fewer than perConnection calls are admitted to it. A call counts
// until its caller releases the connection. If the caller gave up before the answer, the call
// counts until the server answers it or the connection ends. A list may take long, so it counts
// as perConnection calls: nothing is sent behind it.
//
// A caller that finds no free connection waits in a queue, in order of arrival. Whenever a
// call ends or a client becomes ready, the first callers in the queue get the free
// connections. It does not matter for which caller the pool opened a connection.
//
// The pool opens more connections, up to limit, while callers wait and at least one
// connection is ready. If none is ready, the server is probably unreachable: the pool then
// opens only the first connection.
type pool struct {
	limit, perConnection int
	newClient            func(adapt func(*wsx.Config)) (*wsx.Client, error)

	running sync.WaitGroup
	stop    chan struct{}

	// mu guards the fields below. Nothing may block while it is held. In particular, no client
	// may be closed: it would call onState, which takes the mutex.
	mu           sync.Mutex
	members      []*member
	queue        []waiter // callers of acquire, which need a free connection
	readyWaiters []waiter // callers of awaitReady, which need a ready connection, free or not
	closed       bool
	sweeping     bool
}

// member is one client of the pool.
type member struct {
	client     *wsx.Client
	inUse      int       // admitted calls whose callers have not released the member, by weight
	idleSweeps int       // sweeps since the last release
	state      wsx.State // the last state that the client reported
	err        error     // the error that the client reported with it
}

// waiter is a caller that waits. Its channel has a buffer of one and gets one grant.
type waiter struct {
	granted chan grant
	weight  int
}

// grant ends a wait. It holds an error, or the member to which a caller from the queue was
// admitted. A caller of awaitReady gets no member.
type grant struct {
	member *member
	err    error
}

func newPool(
	limit, perConnection int, newClient func(adapt func(*wsx.Config)) (*wsx.Client, error),
) *pool {
	return &pool{limit: limit, perConnection: perConnection, newClient: newClient, stop: make(chan struct{})}
}

// acquire admits a call to a free connection. The weight is perConnection for a list, and 1 for
// any other call. The caller must release the member.
//
// acquire waits for a connection until the deadline passes or ctx ends. If neither has a
// deadline, it waits for wsx.DefaultCallTimeout. It fails at once when the server has
// rejected all clients. If it fails, nothing was sent.
func (p *pool) acquire(ctx context.Context, deadline time.Time, weight int) (*member, error) {
	if m := p.tryAcquire(weight); m != nil {
		return m, nil
	}
	if deadline.IsZero() {
		var bounded bool
		if deadline, bounded = ctx.Deadline(); !bounded {
			deadline = time.Now().Add(wsx.DefaultCallTimeout)
		}
	}
	// Make the context before the caller is admitted. A connection would be idle meanwhile.
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return p.wait(ctx, &p.queue, weight)
}

// awaitReady waits until a connection is ready, free or not. It opens one if there is none.
// It fails when ctx ends, and at once when the server has rejected all clients.
func (p *pool) awaitReady(ctx context.Context) error {
	_, err := p.wait(ctx, &p.readyWaiters, 0)
	return err
}

// tryAcquire admits a call if a connection is free and no other caller waits. Otherwise it
// returns nil.
func (p *pool) tryAcquire(weight int) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return nil
	}
	m := p.leastLoaded()
	if m != nil {
		m.inUse += weight
	}
	return m
}

// wait adds a caller to waiters, which is p.queue or p.readyWaiters, and waits for its grant
// until ctx ends.
func (p *pool) wait(ctx context.Context, waiters *[]waiter, weight int) (*member, error) {
	w := waiter{make(chan grant, 1), weight}
	p.enqueue(w, waiters) //nolint:contextcheck // a connection outlives the caller for whom it is opened
	select {
	case g := <-w.granted:
		return g.member, g.err
	case <-ctx.Done():
		p.dequeue(w, waiters)
		return nil, p.explain(ctx)
	}
}

// enqueue adds a waiter, and opens connections if they are needed.
func (p *pool) enqueue(w waiter, waiters *[]waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*waiters = append(*waiters, w)
	p.serve()
	p.grow()
	if err := p.refusal(); err != nil {
		p.failAll(err)
	}
}

// dequeue removes a waiter whose caller gave up. If the waiter has got a member meanwhile,
// dequeue releases the member.
func (p *pool) dequeue(w waiter, waiters *[]waiter) {
	p.mu.Lock()
	*waiters = slices.DeleteFunc(*waiters, func(other waiter) bool { return other == w })
	p.mu.Unlock()
	select {
	case g := <-w.granted:
		if g.member != nil {
			p.release(g.member, w.weight)
		}
	default:
	}
}

// explain returns why a caller got no connection before ctx ended.
func (p *pool) explain(ctx context.Context) error {
	p.mu.Lock()
	members, connected := p.members, p.connected()
	p.mu.Unlock()
	if len(members) > 0 && !connected {
		// As ctx has ended, AwaitReady does not wait. Its error has the client's last failure.
		if err := members[0].client.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("no connection was free: %w", context.Cause(ctx))
}

// release ends a call that acquire admitted, and serves the queue.
func (p *pool) release(m *member, weight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.inUse -= weight
	m.idleSweeps = 0
	p.serve()
}

// serve admits callers from the queue to free connections. If a connection is ready, it also
// ends the wait of all readyWaiters. The mutex is held.
func (p *pool) serve() {
	for len(p.queue) > 0 {
		m := p.leastLoaded()
		if m == nil {
			break
		}
		m.inUse += p.queue[0].weight
		p.queue[0].granted <- grant{member: m}
		p.queue = p.queue[1:]
	}
	for len(p.readyWaiters) > 0 && p.connected() {
		p.readyWaiters[0].granted <- grant{}
		p.readyWaiters = p.readyWaiters[1:]
	}
}

// failAll ends all waits with an error. The mutex is held.
func (p *pool) failAll(err error) {
	for _, w := range slices.Concat(p.queue, p.readyWaiters) {
		w.granted <- grant{err: err}
	}
	p.queue, p.readyWaiters = nil, nil
}

// leastLoaded returns the free connection with the fewest calls, or nil. The mutex is held.
func (p *pool) leastLoaded() *member {
	var best *member
	least := p.perConnection
	for _, m := range p.members {
		if m.inUse >= least { // not better, even without its abandoned calls
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

// refusal returns an error if it is no use to wait: the pool is closed, or the server has
// rejected all clients and they back off. Otherwise it returns nil. The mutex is held.
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

// grow opens connections: the first one if there is none, and more if a connection is ready
// and callers are in the queue, which means that no ready connection is free. It opens as many
// as these callers need, less those that are being opened already. If a client cannot be
// made, all waits end with the error. The mutex is held.
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

// onState records the state of a client. It serves the callers that wait if the client is
// ready, and fails them if the server has now rejected all clients.
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

// onLateAnswer serves the queue when the server has answered a call whose caller gave up.
func (p *pool) onLateAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve()
}

// described returns what the gateway can do if a connection is ready on which the server was
// asked, and otherwise nil.
func (p *pool) described() *wsx.Description {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if d := m.client.Described(); d != nil {
			return d
		}
	}
	return nil
}

// connected reports whether a connection is ready. The mutex is held.
func (p *pool) connected() bool {
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

// removeIdle removes idle members and returns them. It keeps one member, preferably a
// connected one. While callers wait, it keeps all, because each may be the next to connect.
func (p *pool) removeIdle() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return nil
	}
	keep := max(0, slices.IndexFunc(p.members, func(m *member) bool { return m.client.Connected() }))
	var kept, idle []*member
	for i, m := range p.members {
		if i != keep && m.load() == 0 && m.idleSweeps >= sweepsPerLimit {
			idle = append(idle, m)
			continue
		}
		m.idleSweeps++
		kept = append(kept, m)
	}
	p.members = kept
	return idle
}

// close closes all connections in parallel and waits until they are closed. Callers that
// wait for a connection get wsx.ErrClosed.
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
