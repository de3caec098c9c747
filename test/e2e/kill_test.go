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
	// maxRuntime is the maximum time for which a process runs before it is killed.
	maxRuntime = 900 * time.Millisecond
	// maxFrame is the maximum number of messages in a frame of Zato.
	maxFrame = 500
)

// run is a run of the binary that was killed.
type run struct {
	killed  time.Time
	read    []frame // frames that the process had read from its socket
	unread  int64   // bytes left in its socket
	printed []printedLine
	onDisk  set // messages in the journal's database and its write-ahead log
	// lost has the messages that the server had written to the socket and that were
	// neither printed nor on disk.
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

// unsaved returns the number of messages that the process had read but not yet written
// to the journal, the number of their frames, and the age of the oldest frame.
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

// lostAtEnd returns how many of the last messages that the process had read are lost,
// counted back to the first one that is not.
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

// unacknowledged returns the printed lines whose messages were still in the journal.
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
	t.Parallel()
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("needs /proc/net/tcp to find out what a killed process has read from its socket")
	}
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	server := startEvents(t)
	tap := newTapProxy(t, server.Addr())
	e := eventsConfig{address: tap.address(), dir: t.TempDir(), journal: journalField, output: printingOutput}
	fast := e.write(t)
	e.output = slowOutput // leaves many messages in the journal
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
		if i%4 > 0 { // the others may be killed before they connect
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
	// The long interval keeps this check from slowing down the server.
	missing := func() int { return deliveredIDs(server).minus(printed, lost, last.printedIDs()).size() }
	if !assert.Eventually(t, func() bool {
		return len(server.Published()) == deliveredIDs(server).size() && missing() == 0
	}, 2*time.Minute, time.Second) {
		require.Fail(t, "messages on disk, or from the server, were not printed",
			"%d published, %d written, %d missing, %d in %d queues\n%s", len(server.Published()), deliveredIDs(server).size(),
			missing(), queueDepth(server), len(server.Subscriptions()), &last.log)
	}
	last.stop()
	assert.Empty(t, journalIDs(t, e.dir), "messages are left in the journal")
	assert.Empty(t, walIDs(t, e.dir), "messages are left in the write-ahead log")
	runs = append(runs, run{killed: time.Now(), printed: last.printedLines()})
	checkRuns(t, runs)
	logFigures(t, server, runs)
}

// runAndKill lets the process run for a time and kills it. The kill must fall at a
// random moment, so it waits for no event.
func (p *process) runAndKill(tap *tapProxy, runtime time.Duration) run {
	t := p.t
	t.Helper()
	select {
	case <-time.After(runtime):
	case <-p.ended:
		require.Fail(t, "the process exited by itself", p.log.String())
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

// checkRuns compares the lines that each process printed with the frames that it read
// and with the messages that its predecessor left in the journal.
func checkRuns(t *testing.T, runs []run) {
	t.Helper()
	var journaled set
	for i := range runs {
		r := &runs[i]
		number := 0
		for _, line := range r.printed {
			assert.Equal(t, journaled[line.ID], line.Replayed, "only messages from the journal must be flagged")
			assert.Greater(t, line.Number, number, "printed out of order")
			number = line.Number
		}
		if i == len(runs)-1 {
			return
		}
		known := r.readIDs()
		assert.Zero(t, r.printedIDs().minus(known, journaled).size(), "printed but not read: the count is wrong")
		assert.Zero(t, r.onDisk.minus(known, journaled).size(), "on disk but not read: the count is wrong")
		journaled = r.onDisk
		lost, frames, _ := r.unsaved()
		assert.Equal(t, lost, r.lostAtEnd(), "only the last messages may be missing on disk")
		assert.LessOrEqual(t, frames, 1, "a frame must be on disk before the next one is read")
		if repeats := r.unacknowledged(); len(repeats) > 0 {
			// The order is not exact, because the engine acknowledges each batch in its own
			// goroutine.
			printedSince := len(r.printed) - slices.Index(r.printed, repeats[0])
			assert.Less(t, printedSince-len(repeats), 2*maxFrame, "only the last lines may be unacknowledged")
		}
	}
}

// logFigures checks and logs the figures of all runs.
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
	// A process spends about a hundredth of its time between a read and the write that
	// follows it. So more than three kills fall there in one of five hundred runs of this
	// test. Without Config.Persist, about four kills do.
	assert.LessOrEqual(t, unsavedKills, 3, "too many kills between a read and the write that follows it")
	t.Logf("%d kills, %d messages published, %d written to sockets, %d lines printed",
		killCount, len(server.Published()), len(server.Delivered()), printed)
	t.Logf("lost from the journal: 0 messages; it had %d at a kill on average", onDisk/killCount)
	t.Logf("printed again: %d messages, first printed at most %s before the kill", printedAgain, oldestRepeat)
	t.Logf("read but not yet in the journal: %d messages, at %d kills, sent at most %s before the kill",
		unsaved, unsavedKills, oldestUnsaved)
	t.Logf("never read by the process: %d messages (%d bytes in its socket)", unread, bytes)
}
