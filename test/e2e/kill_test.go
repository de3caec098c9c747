//go:build unix

package e2e_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	killCount = 50
	// maxRuntime is how long a process lives at most before it is killed.
	maxRuntime = 900 * time.Millisecond
	// maxFrame is how many messages Zato sends at once at most.
	maxFrame = 500
)

// run is what is known of a process that was killed.
type run struct {
	killed  time.Time
	read    []frame // what its socket had handed over
	unread  int64   // the bytes that its socket still had
	printed []printedLine
	onDisk  set // in the journal that it left, and in what it had kept for it
	// lost is what the server had written to sockets by then and is neither printed
	// nor on disk.
	lost set
}

// readIDs returns the ids of the messages that the process had read.
func (r *run) readIDs() set {
	ids := set{}
	for _, f := range r.read {
		ids.add(f.ids...)
	}
	return ids
}

func (r *run) printedIDs() set {
	ids := set{}
	for _, line := range r.printed {
		ids.add(line.ID)
	}
	return ids
}

// unsaved returns the messages that the process had read and not yet written to the
// journal, of how many frames they are, and the age of the oldest of them, at most.
func (r *run) unsaved() (messages, frames int, age time.Duration) {
	for _, f := range r.read {
		previous := messages
		for _, id := range f.ids {
			if r.lost[id] {
				messages++
				age = max(age, r.killed.Sub(f.at))
			}
		}
		if messages > previous {
			frames++
		}
	}
	return messages, frames, age
}

// lostAtEnd returns how many messages, of those that the process had read last, are
// lost without one between them that is not.
func (r *run) lostAtEnd() (messages int) {
	for _, f := range slices.Backward(r.read) {
		for _, id := range f.ids {
			if !r.lost[id] {
				return messages
			}
			messages++
		}
	}
	return messages
}

// unacknowledged returns the lines that the process had printed and whose messages stayed
// in the journal.
func (r *run) unacknowledged() []printedLine {
	var lines []printedLine
	for _, line := range r.printed {
		if r.onDisk[line.ID] {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestKilledProcessLosesNothingThatIsInItsJournal(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("only /proc tells what a process that is killed has read from its socket")
	}
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	server := startEvents(t)
	tap := newTapProxy(t, server.Addr())
	e := eventsConfig{address: tap.address(), dir: t.TempDir(), journal: journalField, output: printingOutput}
	fast := e.write(t)
	e.output = slowOutput // leaves much in the journal
	slow := e.write(t)

	first := start(t, fast)
	require.Eventually(t, func() bool { return len(tap.openLinks()) > 0 && queueDepth(server) == 0 && e.hasCachedKey(t) },
		time.Minute, time.Millisecond, "%s", &first.log)
	first.stop()
	tap.closeLinks()

	stopLoad := startLoad(t, server, random.Uint64())
	var runs []run
	lost, printed := set{}, set{}
	for i := range killCount {
		config := fast
		if i%2 == 1 {
			config = slow
		}
		p := start(t, config)
		if i%4 > 0 { // the others may be killed before they are connected
			require.Eventually(t, func() bool { return len(tap.openLinks()) > 0 }, time.Minute, time.Millisecond, "%s", &p.log)
		}
		r := p.runAndKill(tap, time.Duration(random.Int64N(int64(maxRuntime))))
		maps.Copy(printed, r.printedIDs())
		r.onDisk = journalIDs(t, e.dir)
		maps.Copy(r.onDisk, walIDs(t, e.dir))
		awaitNoConnections(t, server)
		r.lost = deliveredIDs(server).minus(printed, r.onDisk, lost)
		maps.Copy(lost, r.lost)
		runs = append(runs, r)
	}
	stopLoad()

	last := start(t, fast)
	// Not asked often, for that takes the server's time.
	missing := func() int { return deliveredIDs(server).minus(printed, lost, last.printedIDs()).size() }
	if !assert.Eventually(t, func() bool {
		return len(server.Published()) == deliveredIDs(server).size() && missing() == 0
	}, 2*time.Minute, time.Second) {
		require.Fail(t, "what is on disk, or was written by the server since, does not come",
			"%d published, %d written, %d missing, %d in %d queues\n%s", len(server.Published()), deliveredIDs(server).size(),
			missing(), queueDepth(server), len(server.Subscriptions()), &last.log)
	}
	last.stop()
	assert.Empty(t, journalIDs(t, e.dir), "all is settled")
	assert.Empty(t, walIDs(t, e.dir), "all is in the journal")
	runs = append(runs, run{killed: time.Now(), printed: last.printedLines()})
	checkRuns(t, runs)
	logFigures(t, server, runs)
}

// runAndKill lets the process run for a while and kills it.
func (p *process) runAndKill(tap *tapProxy, runtime time.Duration) run {
	t := p.t
	t.Helper()
	select {
	case <-time.After(runtime):
	case <-p.ended:
		require.Fail(t, "the process ended by itself", p.log.String())
	}
	p.suspend()
	r := run{killed: time.Now()}
	links := tap.openLinks()
	require.LessOrEqual(t, len(links), 1, "%s", &p.log)
	for _, link := range links {
		r.read, r.unread = link.readFrames(t)
	}
	p.kill()
	tap.closeLinks()
	r.printed = p.printedLines()
	return r
}

// checkRuns compares what each process printed with what it had read and with what
// the one before it had left in the journal.
func checkRuns(t *testing.T, runs []run) {
	t.Helper()
	var journaled set
	for i := range runs {
		r := &runs[i]
		number := 0
		for _, line := range r.printed {
			assert.Equal(t, journaled[line.ID], line.Replayed, "what the process before it left is flagged, and nothing else")
			assert.Greater(t, line.Number, number, "what was published first is printed first")
			number = line.Number
		}
		if i == len(runs)-1 {
			return
		}
		known := r.readIDs()
		assert.Zero(t, r.printedIDs().minus(known, journaled).size(), "what is printed was read, or the count is wrong")
		assert.Zero(t, r.onDisk.minus(known, journaled).size(), "what is on disk was read, or the count is wrong")
		journaled = r.onDisk
		lost, frames, _ := r.unsaved()
		assert.Equal(t, lost, r.lostAtEnd(), "only what was read last is not on disk")
		assert.LessOrEqual(t, frames, 1, "a frame is written before the next one is read")
		if repeats := r.unacknowledged(); len(repeats) > 0 {
			// But for some, for the engine settles each batch in a goroutine of its own.
			printedSince := len(r.printed) - slices.Index(r.printed, repeats[0])
			assert.Less(t, printedSince-len(repeats), 2*maxFrame, "the latest lines are what is not settled")
		}
	}
}

// logFigures prints the figures.
func logFigures(t *testing.T, server *wsxtest.Server, runs []run) {
	t.Helper()
	var printed, onDisk, printedAgain, unread, unsaved, unsavedKills int
	var bytes int64
	var oldestRepeat, oldestUnsaved time.Duration
	for i := range runs {
		r := &runs[i]
		printed += len(r.printed)
		onDisk += r.onDisk.size()
		messages, _, age := r.unsaved()
		unsaved += messages
		unread += r.lost.minus(r.readIDs()).size()
		bytes += r.unread
		if messages > 0 {
			unsavedKills++
			oldestUnsaved = max(oldestUnsaved, age)
		}
		if lines := r.unacknowledged(); len(lines) > 0 {
			printedAgain += len(lines)
			oldestRepeat = max(oldestRepeat, r.killed.Sub(lines[0].at))
		}
	}
	// It takes about a hundredth of the time, so that more than three of the kills fall
	// into it in one run of five hundred. Without Config.Persist about four do.
	assert.LessOrEqual(t, unsavedKills, 3, "a kill falls between the read and the write that follows it hardly ever")
	t.Logf("%d kills, %d messages published, %d written to sockets, %d lines printed",
		killCount, len(server.Published()), len(server.Delivered()), printed)
	t.Logf("lost of what was in the journal: 0, of %d at a kill on average", onDisk/killCount)
	t.Logf("printed again: %d, printed at most %s before the kill", printedAgain, oldestRepeat)
	t.Logf("read and not yet in the journal: %d messages, at %d kills, sent at most %s before it",
		unsaved, unsavedKills, oldestUnsaved)
	t.Logf("never read by the process: %d messages (%d bytes in its socket)", unread, bytes)
}
