package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is a kind of fault.
type fault struct {
	name   string
	inject func(*env)
	// applies reports whether the fault can be injected into an environment. If it is
	// nil, the fault can be injected into all of them.
	applies func(*env) bool
}

// faults returns all kinds of faults. A toxic lasts until reset is called.
func faults() []fault {
	return []fault{
		{name: "cut", inject: func(e *env) { e.Cut() }},
		{name: "close 1001", inject: func(e *env) { e.Disconnect(1001, "Server is shutting down") }},
		{name: "close 4002", inject: func(e *env) { e.Disconnect(4002, "Pings missed") }},
		{name: "close 4005", inject: func(e *env) { e.Disconnect(4005, "Closed by a service") }},
		{name: "frozen server", inject: func(e *env) {
			e.Freeze(time.Duration(e.rand.IntN(150)) * time.Millisecond)
			e.randomPause(100 * time.Millisecond)
		}},
		{name: "partial frame", inject: func(e *env) { e.SendPartialFrame() }},
		{name: "malformed frame", inject: func(e *env) { e.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"`)) }},
		{name: "unknown frame type", inject: func(e *env) {
			e.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.new"}}`))
		}},
		{name: "refused logins", inject: func(e *env) {
			e.RefuseLogins(1 + e.rand.IntN(2))
			e.Cut()
		}},
		{name: "expired tokens", inject: func(e *env) { e.ExpireTokens() }},
		{name: "restart", inject: func(e *env) {
			e.Stop()
			e.publish(e.rand.IntN(20))
			e.randomPause(100 * time.Millisecond)
			require.NoError(e.t, e.Restart())
		}},
		{name: "latency", inject: toxic("latency", `{"latency": 20, "jitter": 20}`)},
		{name: "slices", inject: toxic("slicer", `{"average_size": 100, "size_variation": 90, "delay": 50}`)},
		{name: "low bandwidth", inject: toxic("bandwidth", `{"rate": 500}`)},
		{name: "slow close", inject: toxic("slow_close", `{"delay": 100}`)},
		{name: "limited data", inject: toxic("limit_data", `{"bytes": 50000}`)},
		{name: "reset", inject: toxic("reset_peer", `{"timeout": 100}`)},
		{name: "timeout", inject: toxic("timeout", `{"timeout": 100}`)},
		{name: "slow sink", inject: func(e *env) { e.sink.configure(time.Duration(e.rand.IntN(50))*time.Millisecond, 0) }},
		{name: "rejecting sink", inject: func(e *env) { e.sink.configure(0, 1+e.rand.IntN(3)) }},
		{name: "no faults", inject: func(e *env) { e.reset() }},
		{name: "restarted pipeline", inject: func(e *env) {
			e.stopPipeline()
			e.publish(e.rand.IntN(20))
			e.startPipeline()
		}, applies: func(e *env) bool { return e.journaled || e.fetches() }}, // otherwise unacknowledged messages are lost
		{name: "dropped subscriptions", inject: func(e *env) {
			e.Stop()
			e.DropSubscriptions()
			require.NoError(e.t, e.Restart())
		}, applies: func(e *env) bool { return e.dropsSubscriptions }},
		{name: "lost fetches", inject: func(e *env) {
			e.CutAfterFetch(1 + e.rand.IntN(3))
			e.publish(e.rand.IntN(20))
		}, applies: (*env).fetches},
		{name: "lost answers", inject: func(e *env) { e.CutBeforeResponse(1) }, applies: (*env).fetches},
		{name: "failing services", inject: func(e *env) {
			e.FailInvocations("connect.fetch", 1+e.rand.IntN(3))
			e.FailInvocations("connect.subscribe", 1+e.rand.IntN(3))
			e.Cut()
		}, applies: (*env).fetches},
	}
}

// toxic returns a function that injects a network fault. Connections then go through a
// new proxy with that fault, until reset is called. The proxy is new because changing
// a proxy in use crashes it.
func toxic(kind, attributes string) func(*env) {
	return func(e *env) {
		stream := []string{"downstream", "upstream"}[e.rand.IntN(2)]
		proxy := e.newProxy()
		text := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": %s}`, kind, stream, attributes)
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(text))
		require.NoError(e.t, err)
		e.tap.Redirect(proxy.Listen)
		e.Cut()
	}
}

// inject injects a random fault.
func (e *env) inject() {
	all := slices.DeleteFunc(faults(), func(f fault) bool { return f.applies != nil && !f.applies(e) })
	f := all[e.rand.IntN(len(all))]
	e.sink.markFault()
	f.inject(e)
	e.injected[f.name]++
}
