//go:build unix

package zato_test

import (
	"time"
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
	// bounded is true if only messages that a consumer had not confirmed when it ended may come again.
	bounded bool
}

// count returns how many faults a run injects.
func (f *fault) count(tgt *target) int {
	if f.rare {
		return max(1, tgt.faults/10)
	}
	return tgt.faults
}

// The faults that need one consumer.
var (
	killFault          = fault{name: "kill -9", inject: (*run).kill, bounded: true}
	resetFault         = fault{name: "TCP reset", inject: func(r *run) { r.proxy.reset() }, bounded: true}
	freezeFault        = fault{name: "freeze", inject: (*run).freeze, bounded: true}
	freezeAndKillFault = fault{name: "freeze, kill -9", inject: (*run).freezeAndKill, bounded: true}
)

// updateFault is a rolling update.
var updateFault = fault{name: "rolling update", inject: (*run).update}

// exclusiveFaults returns the faults that need one consumer, and all of them in turn.
func exclusiveFaults() []fault {
	return append([]fault{
		killFault, resetFault, freezeFault, freezeAndKillFault,
		{name: "each in turn", inject: (*run).nextOfAll, bounded: true},
	}, restarts()...)
}

// restarts returns the faults that are restarts of the server and of its database.
func restarts() []fault {
	var faults []fault
	for _, name := range []string{"server restart", "server kill -9", "database restart", "database crash"} {
		inject := func(r *run) { r.target.restarts[name](r.t) }
		faults = append(faults, fault{name: name, restart: name, inject: inject, rare: true, bounded: true})
	}
	return faults
}

// nextOfAll injects the faults of all kinds that the target can have, one after the other: each kind of restart once,
// then each other kind three times, and so on.
func (r *run) nextOfAll() {
	var cycle []fault
	for _, f := range restarts() {
		if r.target.restarts[f.restart] != nil {
			cycle = append(cycle, f)
		}
	}
	for range 3 {
		cycle = append(cycle, killFault, resetFault, freezeAndKillFault)
	}
	cycle[r.injected%len(cycle)].inject(r)
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
	r.countUnconfirmed()
	r.start()
}

// countUnconfirmed counts the messages that a consumer that has ended had not confirmed, so that they may come again.
func (r *run) countUnconfirmed() {
	if r.row.fetches() {
		r.unconfirmed += r.subscription().Unconfirmed
	}
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
	r.countUnconfirmed()
	r.start()
}

// freezeTime returns a random time between a fifteenth of the longest one and the longest one.
func (r *run) freezeTime() time.Duration {
	shortest := r.target.maxFreeze / 15
	return shortest + time.Duration(r.rand.Int64N(int64(r.target.maxFreeze-shortest)))
}

// takeOver starts a consumer, which takes the subscription over from the one that has it. That one logs a warning and
// stands by. Then one of the two ends: the one that stands by is killed, or the other one is stopped and hands the
// subscription back.
func (r *run) takeOver() {
	holder := r.running[0]
	r.start().awaitLine(r.published)
	holder.takenOver++
	holder.awaitLogs("Another consumer has the subscription", holder.takenOver)
	if r.rand.IntN(2) == 0 {
		holder.kill()
		r.remove(0)
		return
	}
	r.running[1].stop()
	r.remove(1)
	holder.handedBack++
	holder.awaitLogs("This process has the subscription", holder.handedBack)
}

// update starts a consumer and then stops the one before it, as a rolling update does.
func (r *run) update() {
	r.start()
	r.running[0].stop()
	r.remove(0)
}

// killBesideStandBy starts a consumer, which takes the subscription over, and kills it. The one that stands by takes
// the subscription when the other has not fetched for half a minute.
func (r *run) killBesideStandBy() {
	r.start().awaitLine(r.published)
	r.running[1].kill()
	r.remove(1)
	p := r.running[0]
	p.read()
	p.awaitLines(len(p.lines) + 1)
}
