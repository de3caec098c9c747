//go:build unix

package zato_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// settlePoll is the time between two looks at the lines of all consumers.
const settlePoll = 50 * time.Millisecond

// target is a server under test.
type target struct {
	isSimulator      bool
	username, secret string
	// addresses has the address of a channel for each kind of gateway. A row of a missing gateway is skipped.
	addresses map[string]string
	// newTopic returns a topic with guaranteed delivery for one row.
	newTopic func(*testing.T) string
	// restarts has the action of each kind of restart. A row of a missing one is skipped.
	restarts map[string]func(*testing.T)

	// messages and faults are the numbers of a row. A fault that takes long is injected less often.
	messages, faults int
	maxFreeze        time.Duration
	publishPause     time.Duration
}

// row is a row of the table: how messages are received, and what happens meanwhile.
type row struct {
	gateway string // stock or connect
	input   string // how the input receives, as the table shows it
	// fields are the fields of the input. NAME stands for the id of the run, and FOLDER for a folder that all
	// consumers of the run share.
	fields string
	fault  fault
}

// fetches reports whether the input fetches messages.
func (r *row) fetches() bool { return strings.HasPrefix(r.input, "fetched") }

func (r *row) String() string { return fmt.Sprintf("%s, %s, %s", r.gateway, r.input, r.fault.name) }

// run is one run of a row.
type run struct {
	t      *testing.T
	target *target
	row    *row
	id     string
	topic  string
	config string // of the consumers
	rand   *rand.Rand
	proxy  *proxy
	*publisher

	running, ended []*consumer
	injected       int // number of faults so far
	unconfirmed    int // messages that consumers which ended had not confirmed
	// published is closed when all messages between two faults are accepted.
	published chan struct{}
}

// newRun starts the consumers of a run and waits until they receive.
func newRun(t *testing.T, tgt *target, rw *row) *run {
	t.Helper()
	address, err := url.Parse(tgt.addresses[rw.gateway])
	require.NoError(t, err)
	r := &run{
		t: t, target: tgt, row: rw, topic: tgt.newTopic(t), proxy: newProxy(t, address.Host),
		rand: rand.New(rand.NewPCG(*seedFlag, 0)), id: fmt.Sprintf("test-%x", rand.Uint64()),
	}
	r.publisher = newPublisher(t, tgt, address.String(), r.topic, r.id)
	folder := t.TempDir()
	fields := strings.NewReplacer("\n", "\n    ", "NAME", r.id, "FOLDER", folder).Replace(rw.fields)
	address.Host = r.proxy.address()
	r.config = fmt.Sprintf(consumerConfig, address, tgt.username, r.topic, fields, r.id)
	if strings.Contains(fields, "cache:") {
		r.config += fmt.Sprintf("cache_resources: [ { label: keys, file: { directory: %q } } ]\n", folder)
	}
	for range max(1, rw.fault.consumers) {
		r.start()
	}
	return r
}

// start starts a consumer and waits until it has subscribed.
func (r *run) start() *consumer {
	r.t.Helper()
	p := startConsumer(r.t, r.config, r.target.secret)
	for slices.ContainsFunc(r.running, func(other *consumer) bool { return other.slot == p.slot }) {
		p.slot++
	}
	r.running = append(r.running, p)
	p.awaitLogs("Input type zato_wsx is now active", 1)
	return p
}

// remove removes a consumer that has ended from those that run.
func (r *run) remove(i int) {
	r.ended = append(r.ended, r.running[i])
	r.running = slices.Delete(r.running, i, i+1)
}

// do publishes the messages while faults happen, and counts the messages that the consumers wrote.
func (r *run) do() result {
	faults := r.row.fault.count(r.target)
	for i := range faults {
		left := r.target.messages*(i+1)/faults - r.target.messages*i/faults
		due, published := make(chan struct{}), make(chan struct{})
		r.published = published
		at := r.rand.IntN(left)
		go func() {
			defer close(published)
			r.publish(left, at, func() { close(due) })
		}()
		<-due
		r.row.fault.inject(r)
		r.injected++
		<-published
	}
	r.settle()
	return r.finish(faults)
}

// finish stops the consumers and counts the messages that they wrote.
func (r *run) finish(faults int) result {
	for len(r.running) > 0 {
		r.running[0].stop()
		r.remove(0)
	}
	res := r.count(faults)
	if r.row.fetches() {
		r.endSubscription()
	}
	return res
}

// endSubscription deletes the subscription. Nothing may be left in it that could come again.
func (r *run) endSubscription() {
	left := r.subscription()
	assert.Zero(r.t, left.Waiting+left.Unconfirmed, "messages are left in the queue")
	_, err := r.clients[0].UnsubscribeNamed(r.t.Context(), r.topic, r.id)
	require.NoError(r.t, err)
}

// subscription returns the state of the subscription.
func (r *run) subscription() wsx.NamedSubscriptionInfo {
	r.t.Helper()
	subscriptions, err := r.clients[0].NamedSubscriptions(r.t.Context(), r.topic, r.id)
	require.NoError(r.t, err)
	require.Len(r.t, subscriptions, 1)
	return subscriptions[0]
}

// settleTime is how long no message arrives before the missing ones count as lost. Fetched ones may come again after a
// lease of half a minute.
func (r *run) settleTime() time.Duration {
	if r.row.fetches() {
		return 45 * time.Second
	}
	return 10 * time.Second
}

// settle waits until the consumers have written all messages and have confirmed those that they fetched, or until
// nothing changes for some time.
func (r *run) settle() {
	seen := map[int]bool{}
	for last, at := -1, time.Now(); ; <-time.After(settlePoll) {
		for _, p := range slices.Concat(r.ended, r.running) {
			p.read()
			for _, l := range p.lines[p.counted:] {
				seen[l.Number] = true
			}
			p.counted = len(p.lines)
		}
		missing := r.missing(seen)
		if missing == 0 && r.row.fetches() {
			s := r.subscription()
			missing = s.Waiting + s.Unconfirmed
		}
		if missing != last {
			last, at = missing, time.Now()
		}
		if missing == 0 || time.Since(at) > r.settleTime() {
			return
		}
	}
}

// runCommand returns a restart that a shell command does.
func runCommand(command string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
}
