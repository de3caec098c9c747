package connection

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// sampleInterval is the time between two readings of the clients' counters. That costs
	// less than to count each frame in a metric.
	sampleInterval = time.Second
	// maxServices bounds the services that are labels of metrics.
	maxServices = 100
)

// metrics are the metrics of a manager's connections. docs/metrics.md describes them.
type metrics struct {
	open, up, lastTraffic, inFlight, waiting *service.MetricGauge
	sessions, reconnects, failures, frames   *service.MetricCounter
	bytes                                    *service.MetricCounter
	callLatency, publishLatency              *service.MetricTimer
}

func newMetrics(of *service.Metrics) *metrics {
	return &metrics{
		open:           of.NewGauge("zato_wsx_connections", "role"),
		up:             of.NewGauge("zato_wsx_connection_up", "role"),
		lastTraffic:    of.NewGauge("zato_wsx_last_traffic_timestamp_seconds", "role"),
		sessions:       of.NewCounter("zato_wsx_sessions", "role"),
		reconnects:     of.NewCounter("zato_wsx_reconnects", "role", "reason"),
		failures:       of.NewCounter("zato_wsx_connect_failures", "role", "reason"),
		frames:         of.NewCounter("zato_wsx_frames", "role", "direction"),
		bytes:          of.NewCounter("zato_wsx_bytes", "role", "direction"),
		inFlight:       of.NewGauge("zato_wsx_calls_in_flight"),
		waiting:        of.NewGauge("zato_wsx_calls_waiting"),
		callLatency:    of.NewTimer("zato_wsx_call_latency_ns", "service", "result"),
		publishLatency: of.NewTimer("zato_wsx_publish_latency_ns", "result"),
	}
}

// collector keeps the metrics of a manager's clients. Its methods may be called by several
// goroutines at once.
type collector struct {
	*metrics

	services serviceLabels
	calls    atomic.Int64 // that have begun and not returned
	starting sync.Once
	running  sync.WaitGroup
	stop     chan struct{}

	// mu guards the fields below. Nothing may block while it is held.
	mu      sync.Mutex
	open    map[role]int64 // clients that were used and are not stopped
	up      map[role]int64 // those of them that are ready
	clients map[*wsx.Client]*snapshot
}

// snapshot is the last known state of a client.
type snapshot struct {
	role  role
	state wsx.State
	stats wsx.Stats
}

func newCollector(of *service.Metrics) *collector {
	return &collector{
		metrics: newMetrics(of), services: serviceLabels{names: map[string]bool{}}, stop: make(chan struct{}),
		open: map[role]int64{}, up: map[role]int64{}, clients: map[*wsx.Client]*snapshot{},
	}
}

// onState counts a change of a client's state. Every client reports to it.
func (c *collector) onState(r role, client *wsx.Client, state wsx.State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.clients[client]
	if last == nil {
		if state == wsx.Stopped {
			return // the client was never used
		}
		c.starting.Do(func() { c.running.Go(c.keepSampling) })
		last = &snapshot{role: r}
		c.clients[client] = last
		c.addOpen(r, 1)
		c.addUp(r, 0) // the series must exist before the first connection is ready
	}
	before := last.state
	last.state = state
	switch {
	case before == wsx.Ready && state != wsx.Ready:
		c.addUp(r, -1)
		if reason := wsx.ReasonOf(err); reason != wsx.ReasonClosedByClient {
			c.reconnects.Incr(1, string(r), string(reason))
		}
	case state == wsx.Ready:
		c.addUp(r, 1)
	case state == wsx.Waiting && before != wsx.Draining:
		c.failures.Incr(1, string(r), string(wsx.ReasonOf(err)))
	}
	if state == wsx.Stopped {
		c.count(client, last)
		delete(c.clients, client)
		c.addOpen(r, -1)
	}
}

// addOpen changes the number of connections that are ready or should be. The mutex is held.
func (c *collector) addOpen(r role, change int64) {
	c.open[r] += change
	c.metrics.open.Set(c.open[r], string(r))
}

// addUp changes the number of connections that are ready. The mutex is held.
func (c *collector) addUp(r role, change int64) {
	c.up[r] += change
	c.metrics.up.Set(c.up[r], string(r))
}

// keepSampling samples until close.
func (c *collector) keepSampling() {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.sample()
		case <-c.stop:
			return
		}
	}
}

// sample brings the metrics up to date.
func (c *collector) sample() {
	c.mu.Lock()
	defer c.mu.Unlock()
	inFlight := 0
	lastRead := map[role]time.Time{}
	for client, last := range c.clients {
		c.count(client, last)
		if last.role == roleCalls {
			inFlight += last.stats.InFlight
		}
		if last.stats.LastRead.After(lastRead[last.role]) {
			lastRead[last.role] = last.stats.LastRead
		}
	}
	for r, at := range lastRead {
		c.lastTraffic.SetFloat64(float64(at.UnixMilli())/1000, string(r))
	}
	c.inFlight.Set(int64(inFlight))
	c.waiting.Set(max(0, c.calls.Load()-int64(inFlight)))
}

// count adds to the metrics what a client has counted since its last snapshot. The mutex is
// held.
func (c *collector) count(client *wsx.Client, last *snapshot) {
	now, before, r := client.Stats(), last.stats, string(last.role)
	last.stats = now
	c.sessions.Incr(now.Sessions-before.Sessions, r)
	c.frames.Incr(now.FramesIn-before.FramesIn, r, "in")
	c.frames.Incr(now.FramesOut-before.FramesOut, r, "out")
	c.bytes.Incr(now.BytesIn-before.BytesIn, r, "in")
	c.bytes.Incr(now.BytesOut-before.BytesOut, r, "out")
}

// startCall counts a call and returns its start.
func (c *collector) startCall() time.Time {
	c.calls.Add(1)
	return time.Now()
}

// endCall counts the end of a call and returns its duration in nanoseconds.
func (c *collector) endCall(start time.Time) int64 {
	c.calls.Add(-1)
	return time.Since(start).Nanoseconds()
}

// close stops the sampling. All clients must be closed before.
func (c *collector) close() {
	close(c.stop)
	c.running.Wait()
}

// resultOf returns the label for the result of a call.
func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	var server *wsx.ServerError
	switch {
	case wsx.SendStatusOf(err) == wsx.NotSent:
		return "not_sent"
	case wsx.IsTopicFull(err):
		return "full"
	case errors.As(err, &server):
		return "failed"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, wsx.ErrNotFinished):
		return "timed_out"
	}
	return "lost"
}

// serviceLabels holds the names of services that are labels of metrics.
type serviceLabels struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

// bounded returns the label of a service: its name for the first maxServices services, "other"
// for the rest, and "channel" for the only service of a channel, which has no name.
func (s *serviceLabels) bounded(name string) string {
	if name == "" {
		return "channel"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.names[name]:
	case len(s.names) >= maxServices:
		return "other"
	default:
		s.names[name] = true
	}
	return name
}
