//go:build unix

package zato_test

import (
	"time"
)

// awaitLineLimit bounds the wait for the first line of a consumer before it is killed.
const awaitLineLimit = 10 * time.Second

// fault is a kind of fault.
type fault struct {
	name   string
	inject func(*run)
	// consumers is the number of consumers, one if it is 0.
	consumers int
	// restart is the kind of restart in target.restarts that the fault needs, if any.
	restart string
}

// count returns how many faults a run injects.
func (f *fault) count(tgt *target) int {
	if f.restart != "" {
		return max(1, tgt.faults/10) // each takes long
	}
	return tgt.faults
}

// The faults that need one consumer.
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
func (r *run) kill() {
	i := r.rand.IntN(len(r.running))
	if r.rand.IntN(4) > 0 {
		r.running[i].awaitLine(awaitLineLimit)
	}
	r.running[i].kill()
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
	r.running[0].awaitLine(awaitLineLimit)
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
	r.start().awaitLine(awaitLineLimit)
	if r.rand.IntN(2) == 0 {
		r.running[0].kill()
		r.remove(0)
		return
	}
	r.running[1].stop()
	r.remove(1)
}
