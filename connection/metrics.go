package connection

import (
	"context"
	"errors"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// metrics are those of a manager's connections. They are described in docs/metrics.md.
type metrics struct {
	up, lastTraffic, inFlight, waiting     *service.MetricGauge
	sessions, reconnects, failures, frames *service.MetricCounter
	bytes                                  *service.MetricCounter
	callLatency, publishLatency            *service.MetricTimer
}

func newMetrics(of *service.Metrics) *metrics {
	return &metrics{
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

// resultOf groups what calls end with.
func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	var server *wsx.ServerError
	switch {
	case wsx.SendStatusOf(err) == wsx.NotSent:
		return "not_sent"
	case errors.As(err, &server):
		return "failed"
	case errors.Is(err, context.DeadlineExceeded):
		return "timed_out"
	}
	return "lost"
}

// maxServices bounds the names of services that are labels of metrics. Those that come
// later are counted together.
const maxServices = 100

// serviceLabels are the names that are labels.
type serviceLabels struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

// bounded returns the label of a service, which is the channel's own where it has no
// name.
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
