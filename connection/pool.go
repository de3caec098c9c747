package connection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// idleLimit is how long a connection beyond the first stays open unused, at least. It
// is looked for such some times within it.
const (
	idleLimit      = time.Minute
	sweepsPerLimit = 2
)

// pool holds the connections for calls. Nothing is waited for under its lock.
type pool struct {
	limit, perConnection int
	newClient            func() (*wsx.Client, error)

	running sync.WaitGroup
	stop    chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	members []*member
	waiters []chan *member // callers, who has waited longest first
	closed  bool
	sweeps  bool // the sweeper runs
}

// member is one client of the pool.
type member struct {
	client     *wsx.Client
	inUse      int // calls that were given to it and have not returned
	idleSweeps int // how often the sweeper came since the last of them returned
}

func newPool(limit, perConnection int, newClient func() (*wsx.Client, error)) *pool {
	return &pool{limit: limit, perConnection: perConnection, newClient: newClient, stop: make(chan struct{})}
}

// acquire takes the best client for a call, which giveBack is to follow: one with nothing
// to do, else the one with the least while it may take more, else a new one while there
// may be more of them, else the first that another caller gives back, first come, first
// served. While there is no connection it waits for one first: calls that waited
// together are then spread over as many as they need. It waits until ctx ends or the
// deadline, if there is one, has passed.
func (p *pool) acquire(ctx context.Context, deadline time.Time) (*member, error) {
	if m := p.tryAcquireIdle(); m != nil {
		return m, nil
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	if !p.connected() {
		_ = p.awaitReady(ctx) // what is wrong is told by the use
	}
	return p.acquireSlow(ctx)
}

// awaitReady waits until there is a connection.
func (p *pool) awaitReady(ctx context.Context) error {
	p.mu.Lock()
	m, _ := p.leastLoaded()
	var err error
	if m == nil {
		m, err = p.grow()
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return m.client.AwaitReady(ctx)
}

// tryAcquireIdle takes a connection that has nothing to do, nil where there is none or
// somebody waits for it. It asks no more of the others than whether they are in use.
func (p *pool) tryAcquireIdle() *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) > 0 {
		return nil
	}
	for _, m := range p.members {
		if m.inUse == 0 && m.client.Connected() && m.load() == 0 {
			m.inUse++
			return m
		}
	}
	return nil
}

// acquireSlow takes a connection, and waits for one where all have as much to do as they may.
func (p *pool) acquireSlow(ctx context.Context) (*member, error) {
	m, turn, err := p.acquireOrEnqueue()
	if turn == nil {
		return m, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wsx.DefaultCallTimeout)
		defer cancel()
	}
	select {
	case m := <-turn:
		return m, nil
	case <-ctx.Done():
		p.dequeue(turn)
		err := fmt.Errorf("no connection was free: %w", context.Cause(ctx))
		return nil, &wsx.CallError{Op: "calling", SendStatus: wsx.NotSent, Err: err}
	}
}

// acquireOrEnqueue takes a connection, or returns where one will be given.
func (p *pool) acquireOrEnqueue() (m *member, turn chan *member, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, free := p.leastLoaded()
	switch {
	case m != nil && free && len(p.waiters) == 0:
	case m != nil && !m.client.Connected(): // all wait for the same
	case m == nil || len(p.members) < p.limit:
		if m, err = p.grow(); err != nil {
			return nil, nil, err
		}
	default:
		turn = make(chan *member, 1)
		p.waiters = append(p.waiters, turn)
		if free || !p.inUse() {
			p.handOff(m) // nobody would, for nobody has it to give back
		}
		return nil, turn, nil
	}
	m.inUse++
	return m, nil, nil
}

// dequeue takes a caller that waits no more out of the queue, and gives back what
// it was given meanwhile.
func (p *pool) dequeue(turn chan *member) {
	p.mu.Lock()
	p.waiters = slices.DeleteFunc(p.waiters, func(other chan *member) bool { return other == turn })
	p.mu.Unlock()
	select {
	case m := <-turn:
		p.release(m)
	default:
	}
}

// handOff gives a connection to the caller who has waited longest. The mutex is held and
// there is one; the channel has room.
func (p *pool) handOff(m *member) {
	turn := p.waiters[0]
	p.waiters = p.waiters[1:]
	m.inUse++
	turn <- m
}

// grow makes one more client, which does no I/O. The mutex is held.
func (p *pool) grow() (*member, error) {
	if p.closed {
		return nil, wsx.ErrClosed
	}
	client, err := p.newClient()
	if err != nil {
		return nil, err
	}
	m := &member{client: client}
	p.members = append(p.members, m)
	p.startSweeper()
	return m, nil
}

// leastLoaded returns the member to use and whether it can take a call at once. A
// connected one comes before any other, the least loaded before the rest: a
// connection that cannot be opened attracts no calls while another is there.
func (p *pool) leastLoaded() (*member, bool) {
	var best *member
	var bestReady bool
	var bestLoad int
	for _, m := range p.members {
		ready, load := m.client.Connected(), m.load()
		if best == nil || (ready && !bestReady) || (ready == bestReady && load < bestLoad) {
			best, bestReady, bestLoad = m, ready, load
		}
	}
	return best, bestReady && bestLoad < p.perConnection
}

// load counts the calls of a member, with those that it was given and has not
// counted yet and those that the server works on though their callers gave up.
func (m *member) load() int { return max(m.inUse, m.client.Pending()) }

// release gives a connection back, to whoever waits for one. One on which the server
// still works for a caller who gave up is left alone while another will come back.
func (p *pool) release(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.inUse--
	m.idleSweeps = 0
	if len(p.waiters) == 0 {
		return
	}
	if m.load() < p.perConnection || !p.inUse() {
		p.handOff(m)
	}
}

// inUse tells whether anybody has a connection, and will give it back. The mutex is
// held.
func (p *pool) inUse() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.inUse > 0 })
}

// connected tells whether any connection is there.
func (p *pool) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.client.Connected() })
}

// startSweeper starts the sweeper with the first connection that may become idle.
// The mutex is held.
func (p *pool) startSweeper() {
	if p.sweeps || len(p.members) < 2 {
		return
	}
	p.sweeps = true
	p.running.Go(p.sweep)
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

// removeIdle takes idle members out. One always stays.
func (p *pool) removeIdle() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept, idle []*member
	for _, m := range p.members {
		if len(kept) > 0 && m.load() == 0 && m.idleSweeps >= sweepsPerLimit {
			idle = append(idle, m)
			continue
		}
		m.idleSweeps++
		kept = append(kept, m)
	}
	p.members = kept
	return idle
}

// close closes every connection, all at once, and waits for that.
func (p *pool) close() {
	p.mu.Lock()
	members := p.members
	first := !p.closed
	p.members, p.closed = nil, true
	p.mu.Unlock()
	if first {
		close(p.stop)
	}
	for _, m := range members {
		p.running.Go(func() { _ = m.client.Close() })
	}
	p.running.Wait()
}
