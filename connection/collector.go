package connection

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// sampleInterval is how often the clients are asked what they have counted, which costs
// less than to count each frame in metrics.
const sampleInterval = time.Second

// collector keeps the metrics of the clients of a manager.
type collector struct {
	*metrics

	serviceLabels serviceLabels
	calls         atomic.Int64 // that were made and have not returned
	starting      sync.Once
	running       sync.WaitGroup
	stop          chan struct{}

	// mu guards what follows. Nothing waits under it.
	mu      sync.Mutex
	up      map[role]int64
	clients map[*wsx.Client]*snapshot
}

// snapshot is what was known of a client last.
type snapshot struct {
	role  role
	state wsx.State
	stats wsx.Stats
}

func newCollector(of *service.Metrics) *collector {
	return &collector{
		metrics: newMetrics(of), serviceLabels: serviceLabels{names: map[string]bool{}}, stop: make(chan struct{}),
		up: map[role]int64{}, clients: map[*wsx.Client]*snapshot{},
	}
}

// onState is told of every change of state of a client, and tells whether its
// connection is lost.
func (m *collector) onState(of role, client *wsx.Client, state wsx.State, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.clients[client]
	if r == nil && state == wsx.Stopped {
		return // it was never used
	}
	m.starting.Do(func() { m.running.Go(m.keepSampling) })
	if r == nil {
		r = &snapshot{role: of}
		m.clients[client] = r
	}
	before := r.state
	r.state = state
	switch {
	case before == wsx.Ready && state != wsx.Ready:
		m.addUp(of, -1)
		if cause := wsx.ReasonOf(err); cause != wsx.ReasonClosedByClient {
			m.reconnects.Incr(1, string(of), string(cause))
		}
	case state == wsx.Ready:
		m.addUp(of, 1)
	case state == wsx.Waiting && before != wsx.Draining:
		m.failures.Incr(1, string(of), string(wsx.ReasonOf(err)))
	}
	if state == wsx.Stopped {
		m.count(client, r)
		delete(m.clients, client)
	}
}

// addUp counts the connections that are ready. The mutex is held.
func (m *collector) addUp(of role, by int64) {
	m.up[of] += by
	m.metrics.up.Set(m.up[of], string(of))
}

// keepSampling samples until close.
func (m *collector) keepSampling() {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.sample()
		case <-m.stop:
			return
		}
	}
}

// sample brings the metrics up to date.
func (m *collector) sample() {
	m.mu.Lock()
	defer m.mu.Unlock()
	inFlight := 0
	last := map[role]time.Time{}
	for client, r := range m.clients {
		m.count(client, r)
		if r.role == roleCalls {
			inFlight += r.stats.InFlight
		}
		if r.stats.LastRead.After(last[r.role]) {
			last[r.role] = r.stats.LastRead
		}
	}
	for of, at := range last {
		m.lastTraffic.SetFloat64(float64(at.UnixMilli())/1000, string(of))
	}
	m.inFlight.Set(int64(inFlight))
	m.waiting.Set(max(0, m.calls.Load()-int64(inFlight)))
}

// count counts what a client has done since the last time. The mutex is held.
func (m *collector) count(client *wsx.Client, r *snapshot) {
	now, before, of := client.Stats(), r.stats, string(r.role)
	r.stats = now
	m.sessions.Incr(now.Sessions-before.Sessions, of)
	m.frames.Incr(now.FramesIn-before.FramesIn, of, "in")
	m.frames.Incr(now.FramesOut-before.FramesOut, of, "out")
	m.bytes.Incr(now.BytesIn-before.BytesIn, of, "in")
	m.bytes.Incr(now.BytesOut-before.BytesOut, of, "out")
}

// startCall counts a call as under way and returns when it began.
func (m *collector) startCall() time.Time {
	m.calls.Add(1)
	return time.Now()
}

// endCall counts it as ended and returns how long it took, in nanoseconds.
func (m *collector) endCall(began time.Time) int64 {
	m.calls.Add(-1)
	return time.Since(began).Nanoseconds()
}

// close ends the sampling. The clients are closed by then.
func (m *collector) close() {
	close(m.stop)
	m.running.Wait()
}
