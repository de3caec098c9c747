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
	stops = 20
	// sluggish is a pipeline that is slower than the load.
	sluggish = `
pipeline:
  threads: 1
  processors:
    - sleep: { duration: 500us }
    - mapping: 'root = { "id": @zato_msg_id, "number": this.number, "replayed": @zato_replayed.or(false) }'
output: { stdout: {} }
`
)

var (
	stays = regexp.MustCompile(`(\d+) messages stay in the journal`)
	lost  = regexp.MustCompile(`level=error .*\b(\d+) messages were read from Zato and not acknowledged by the pipeline`)
)

// number reads a number out of a log, 0 where it is not there.
func number(t *testing.T, in *regexp.Regexp, log string) int {
	t.Helper()
	found := in.FindStringSubmatch(log)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	return n
}

// stopUnderLoad runs the binary for a random while and stops it. All connections
// have ended when it returns.
func stopUnderLoad(t *testing.T, server *wsxtest.Server, config string, random *rand.Rand) *process {
	t.Helper()
	p := start(t, config)
	require.Eventually(t, func() bool { return len(p.printed()) > 0 }, time.Minute, time.Millisecond, "%s", &p.log)
	<-time.After(time.Duration(random.Int64N(int64(400 * time.Millisecond))))
	p.stop()
	awaitNobody(t, server)
	return p
}

func TestStopUnderLoadLosesNothingWithAJournal(t *testing.T) {
	random := rand.New(rand.NewPCG(seed(t), 1))
	server := startEvents(t)
	e := events{address: server.Addr(), dir: t.TempDir(), journal: journaled, output: sluggish}
	config := e.write(t)
	stopLoad := startLoad(t, server, random.Uint64())
	seen, kept := set{}, 0
	for range stops {
		p := stopUnderLoad(t, server, config, random)
		for _, line := range p.printed() {
			assert.False(t, seen[line.ID], "printed twice")
			seen.add(line.ID)
		}
		left := journalIDs(t, e.dir)
		assert.Zero(t, delivered(server).minus(seen, left).size(), "neither printed nor in the journal")
		assert.Equal(t, left.size(), number(t, stays, p.log.String()), "%s", &p.log)
		assert.NotContains(t, p.log.String(), "level=error")
		kept += left.size()
	}
	stopLoad()
	t.Logf("%d stops, %d messages delivered, %d in the journal at a stop on average: lost 0",
		stops, len(server.Delivered()), kept/stops)
}

func TestStopUnderLoadWithoutAJournalSaysHowManyMessagesAreLost(t *testing.T) {
	random := rand.New(rand.NewPCG(seed(t), 2))
	server := startEvents(t)
	e := events{address: server.Addr(), dir: t.TempDir(), output: sluggish}
	config := e.write(t)
	stopLoad := startLoad(t, server, random.Uint64())
	seen, gone := set{}, 0
	for range stops {
		p := stopUnderLoad(t, server, config, random)
		maps.Copy(seen, p.printedIDs())
		missing := delivered(server).minus(seen).size() - gone
		assert.Equal(t, missing, number(t, lost, p.log.String()), "%s", &p.log)
		gone += missing
	}
	stopLoad()
	assert.Positive(t, gone, "the load is too light to lose anything")
	t.Logf("%d stops, %d messages delivered, %d lost and told", stops, len(server.Delivered()), gone)
}
