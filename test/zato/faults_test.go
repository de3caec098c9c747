//go:build unix

package zato_test

import (
	"time"

	"github.com/stretchr/testify/require"
)

// fault is a kind of fault.
type fault struct {
	name   string
	inject func(*run)
	// consumers is the number of consumers, one if it is 0.
	consumers int
	// rare faults are injected a tenth as often.
	rare bool
	// leased faults are not injected in front of a simulator, because what they leave comes again after half a minute.
	leased bool
	// restart is the kind of restart in target.restarts that the fault needs, if any.
	restart string
}

// count returns how many faults a run injects.
func (f *fault) count(tgt *target) int {
	if f.restart != "" || f.rare {
		return max(1, tgt.faults/10)
	}
	return tgt.faults
}

// exclusiveFaults returns the faults that need one consumer.
func exclusiveFaults() []fault {
	return []fault{
		{name: "kill -9", inject: (*run).kill},
		{name: "TCP reset", inject: func(r *run) { r.proxy.reset() }},
		{name: "freeze", inject: (*run).freeze},
		{name: "freeze, kill -9", inject: (*run).freezeAndKill},
		restartOf("server restart"),
		restartOf("server kill -9"),
		restartOf("database restart"),
		restartOf("database crash"),
	}
}

// restartOf returns the fault that a restart of the target causes.
func restartOf(name string) fault {
	return fault{name: name, restart: name, inject: func(r *run) { r.target.restarts[name](r.t) }}
}

// kill kills one of the consumers and starts another one. Three in four have received a message before.
func (r *run) kill() { r.replaceOne((*consumer).kill) }

// stop stops one of the consumers and starts another one.
func (r *run) stop() { r.replaceOne((*consumer).stop) }

func (r *run) replaceOne(end func(*consumer)) {
	i := r.rand.IntN(len(r.running))
	if r.rand.IntN(4) > 0 {
		r.running[i].awaitLine(r.published)
	}
	end(r.running[i])
	r.remove(i)
	r.start()
}

// freeze suspends the consumer for a time.
func (r *run) freeze() {
	r.running[0].freeze()
	<-time.After(r.freezeTime()) // the fault itself
	r.running[0].thaw()
}

// freezeAndKill suspends the consumer for a time, kills it, and starts another one.
func (r *run) freezeAndKill() {
	r.running[0].awaitLine(r.published)
	r.running[0].freeze()
	<-time.After(r.freezeTime()) // the fault itself
	r.running[0].kill()
	r.remove(0)
	r.start()
}

// freezeTime returns a random time between a fifteenth of the longest one and the longest one.
func (r *run) freezeTime() time.Duration {
	shortest := r.target.maxFreeze / 15
	return shortest + time.Duration(r.rand.Int64N(int64(r.target.maxFreeze-shortest)))
}

// takeOver starts a consumer, which takes the subscription over from the one that has it. Then one of the two ends: the
// one that waits is killed, or the other one is stopped and hands the subscription back.
func (r *run) takeOver() {
	r.start().awaitLine(r.published)
	if r.rand.IntN(2) == 0 {
		r.running[0].kill()
		r.remove(0)
		return
	}
	r.running[1].stop()
	r.remove(1)
}

// killBesideStandBy starts a consumer, which takes the subscription over, and kills it. The one that stands by takes
// the subscription when the other has not fetched for half a minute.
func (r *run) killBesideStandBy() {
	r.start().awaitLine(r.published)
	r.running[1].kill()
	r.remove(1)
	p := r.running[0]
	p.read()
	before := len(p.lines)
	require.Eventually(r.t, func() bool { p.read(); return len(p.lines) > before }, eventTimeout, pollInterval,
		"the consumer that stands by does not take over:\n%s", &p.log)
}
