package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is something that goes wrong, once, or for a short time.
type fault struct {
	name   string
	strike func(*world)
	// applies tells whether it can happen in a world; nil means in all.
	applies func(*world) bool
}

// faults are all that can go wrong. A toxic stays until it is healed.
func faults() []fault {
	return []fault{
		{name: "cut", strike: func(w *world) { w.Cut() }},
		{name: "close 1001", strike: func(w *world) { w.Disconnect(1001, "Server is shutting down") }},
		{name: "close 4002", strike: func(w *world) { w.Disconnect(4002, "Pings missed") }},
		{name: "close 4005", strike: func(w *world) { w.Disconnect(4005, "Closed by a service") }},
		{name: "stall", strike: func(w *world) {
			w.Freeze(time.Duration(w.rand.IntN(150)) * time.Millisecond)
			w.pause(100 * time.Millisecond)
		}},
		{name: "half a frame", strike: func(w *world) { w.SendPartialFrame() }},
		{name: "a broken frame", strike: func(w *world) { w.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"`)) }},
		{name: "a frame of an unknown type", strike: func(w *world) {
			w.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.new"}}`))
		}},
		{name: "refused logins", strike: func(w *world) {
			w.RefuseLogins(1 + w.rand.IntN(2))
			w.Cut()
		}},
		{name: "expired tokens", strike: func(w *world) { w.ExpireTokens() }},
		{name: "restart", strike: func(w *world) {
			w.Stop()
			w.publish(w.rand.IntN(20))
			w.pause(100 * time.Millisecond)
			require.NoError(w.t, w.Restart())
		}},
		{name: "latency", strike: toxic("latency", `{"latency": 20, "jitter": 20}`)},
		{name: "slices", strike: toxic("slicer", `{"average_size": 100, "size_variation": 90, "delay": 50}`)},
		{name: "little bandwidth", strike: toxic("bandwidth", `{"rate": 500}`)},
		{name: "slow close", strike: toxic("slow_close", `{"delay": 100}`)},
		{name: "limited data", strike: toxic("limit_data", `{"bytes": 50000}`)},
		{name: "reset", strike: toxic("reset_peer", `{"timeout": 100}`)},
		{name: "timeout", strike: toxic("timeout", `{"timeout": 100}`)},
		{name: "slow sink", strike: func(w *world) { w.sink.change(time.Duration(w.rand.IntN(50))*time.Millisecond, 0) }},
		{name: "unwilling sink", strike: func(w *world) { w.sink.change(0, 1+w.rand.IntN(3)) }},
		{name: "repaired network", strike: func(w *world) { w.heal() }},
		{name: "stopped pipeline", strike: func(w *world) {
			w.end()
			w.publish(w.rand.IntN(20))
			w.begin()
		}, applies: func(w *world) bool { return w.journaled }}, // without, what is in hand is lost
		{name: "forgotten subscription", strike: func(w *world) {
			w.Stop()
			w.DropSubscriptions()
			require.NoError(w.t, w.Restart())
		}, applies: func(w *world) bool { return w.forgetful }},
	}
}

// toxic makes a fault of the network: connections go through a proxy that has it
// from then on, until that is healed. (To change a proxy that is in use crashes it.)
func toxic(kind, attributes string) func(*world) {
	return func(w *world) {
		stream := []string{"downstream", "upstream"}[w.rand.IntN(2)]
		proxy := w.newProxy()
		text := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": %s}`, kind, stream, attributes)
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(text))
		require.NoError(w.t, err)
		w.tap.Redirect(proxy.Listen)
		w.Cut()
	}
}

// strike makes something go wrong.
func (w *world) strike() {
	all := slices.DeleteFunc(faults(), func(f fault) bool { return f.applies != nil && !f.applies(w) })
	f := all[w.rand.IntN(len(all))]
	w.sink.struck()
	f.strike(w)
	w.struck[f.name]++
}
