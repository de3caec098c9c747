package input

import "time"

const (
	// smallBatch is the number of messages that a process fetches while it does not know its pace.
	smallBatch = 10
	// batchTime is how long the pipeline should take for a batch of a shared subscription.
	batchTime = 2 * time.Second
	// paceTime is the time after which the earlier pace counts half.
	paceTime = 2 * batchTime
)

// pace measures how fast the pipeline settles messages while it has some. A process takes no more of a shared
// subscription than a batch that lasts batchTime, because the messages that wait in one process wait although another
// one may be idle.
type pace struct {
	settled float64
	busy    time.Duration
	at      time.Time // until when busy is counted
}

// advance counts the time since the last call if there were messages in use.
func (p *pace) advance(inUse int, now time.Time) {
	if inUse > 0 {
		p.busy += now.Sub(p.at)
	}
	p.at = now
}

// settle counts n messages that were settled.
func (p *pace) settle(n, inUse int, now time.Time) {
	p.advance(inUse, now)
	p.settled += float64(n)
	if p.busy > paceTime {
		p.settled, p.busy = p.settled/2, p.busy/2
	}
}

// batchSize returns the number of messages that the next batch should have.
func (p *pace) batchSize(inUse int, now time.Time) int {
	p.advance(inUse, now)
	if p.settled == 0 {
		return smallBatch
	}
	n := p.settled * float64(batchTime) / float64(p.busy)
	return int(min(max(n, smallBatch), coalesceLimit))
}
