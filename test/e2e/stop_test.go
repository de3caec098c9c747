//go:build unix

package e2e_test

import (
	"maps"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	stopCount = 20
	// slowOutput is a printingOutput that is slower than the load.
	slowOutput = `
pipeline:
  threads: 1
  processors:
    - sleep: { duration: 500us }
    - mapping: 'root = { "id": @zato_msg_id, "number": this.number, "replayed": @zato_replayed.or(false) }'
output: { stdout: {} }
`
)

var (
	journalCount = regexp.MustCompile(`(\d+) messages stay in the journal`)
	lossCount    = regexp.MustCompile(
		`level=error .*\b(\d+) messages were read from Zato and not acknowledged by the pipeline`)
)

// numberIn returns the number that a pattern matches in a log, 0 if there is none.
func numberIn(t *testing.T, pattern *regexp.Regexp, log string) int {
	t.Helper()
	found := pattern.FindStringSubmatch(log)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	return n
}

// stopUnderLoad runs the binary until it has printed a random number of lines, and stops
// it. All connections have ended when it returns.
func stopUnderLoad(t *testing.T, server *wsxtest.Server, config string, random *rand.Rand) *process {
	t.Helper()
	p := start(t, config)
	lines := 1 + random.IntN(400)
	printed := func() bool { return len(p.printedLines()) >= lines }
	require.Eventually(t, printed, time.Minute, time.Millisecond, "%s", &p.log)
	p.stop()
	awaitNoConnections(t, server)
	return p
}

func TestStopUnderLoadLosesNothingWithAJournal(t *testing.T) {
	random := rand.New(rand.NewPCG(randomSeed(t), 1))
	server := startEvents(t)
	e := eventsConfig{address: server.Addr(), dir: t.TempDir(), journal: journalField, output: slowOutput}
	config := e.write(t)
	stopLoad := startLoad(t, server, random.Uint64())
	printed, total := set{}, 0
	for range stopCount {
		p := stopUnderLoad(t, server, config, random)
		for _, line := range p.printedLines() {
			assert.False(t, printed[line.ID], "printed twice")
			printed.add(line.ID)
		}
		journaled := journalIDs(t, e.dir)
		assert.Zero(t, deliveredIDs(server).minus(printed, journaled).size(), "neither printed nor in the journal")
		assert.Equal(t, journaled.size(), numberIn(t, journalCount, p.log.String()), "%s", &p.log)
		assert.NotContains(t, p.log.String(), "level=error")
		total += journaled.size()
	}
	stopLoad()
	t.Logf("%d stops, %d messages delivered, %d in the journal at a stop on average: lost 0",
		stopCount, len(server.Delivered()), total/stopCount)
}

func TestStopUnderLoadWithoutAJournalLogsTheNumberOfLostMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(randomSeed(t), 2))
	server := startEvents(t)
	e := eventsConfig{address: server.Addr(), dir: t.TempDir(), output: slowOutput}
	config := e.write(t)
	stopLoad := startLoad(t, server, random.Uint64())
	printed, lost := set{}, 0
	for range stopCount {
		p := stopUnderLoad(t, server, config, random)
		maps.Copy(printed, p.printedIDs())
		missing := deliveredIDs(server).minus(printed).size() - lost
		assert.Equal(t, missing, numberIn(t, lossCount, p.log.String()), "%s", &p.log)
		lost += missing
	}
	stopLoad()
	assert.Positive(t, lost, "the load is too light to lose anything")
	t.Logf("%d stops, %d messages delivered, %d lost and logged", stopCount, len(server.Delivered()), lost)
}
