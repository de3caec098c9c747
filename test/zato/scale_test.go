//go:build unix

package zato_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	// workTime is how long a message takes in the pipeline of the consumers that share a subscription.
	workTime = 20 * time.Millisecond
	// scaleRounds is how often each number of consumers is measured. The rounds alternate.
	scaleRounds = 2
)

func TestServerNamedByTheEnvironmentIsEmptiedFasterByMoreConsumers(t *testing.T) {
	tgt := environmentTarget(t)
	rw := &row{gateway: "connect", input: "fetched by several", fields: sharedFields, fault: fault{name: "backlog"}}
	if reason := tgt.lacks(rw); reason != "" {
		t.Skip(reason)
	}
	var b strings.Builder
	b.WriteString("\n| consumers | messages | lost | repeated | seconds | messages/s | times one consumer | shares |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	defer func() { t.Log(b.String()) }()
	for range scaleRounds {
		var one time.Duration
		for _, consumers := range []int{1, 2, 4} {
			res, took := newRun(t, tgt, rw).emptyBacklog(consumers)
			res.check(t)
			if consumers == 1 {
				one = took
			}
			fmt.Fprintf(&b, "| %d | %d | %d | %d | %.1f | %.0f | %.2f | %d |\n", consumers, res.messages, res.lost, res.repeated,
				took.Seconds(), float64(res.messages)/took.Seconds(), one.Seconds()/took.Seconds(), res.shares)
		}
	}
}

// emptyBacklog publishes the messages while there is no consumer, and returns how long the consumers then take to
// receive them.
func (r *run) emptyBacklog(consumers int) (result, time.Duration) {
	r.running[0].stop()
	r.remove(0)
	r.publishBacklog(r.target.messages)
	r.config += fmt.Sprintf(workConfig, workTime)
	began := time.Now()
	for range consumers {
		r.start()
	}
	r.settle()
	took := time.Since(began)
	return r.finish(0), took
}
