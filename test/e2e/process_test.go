//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// eventsTopic is the topic of these tests, with guaranteed delivery.
const eventsTopic = "/events"

// startEvents starts a server whose gateway is patched, with eventsTopic.
func startEvents(t *testing.T) *wsxtest.Server {
	t.Helper()
	server := wsxtest.NewServer(
		wsxtest.WithTopic(wsxtest.Topic{Name: eventsTopic, GuaranteedDelivery: true}),
		wsxtest.WithDeliveryInterval(5*time.Millisecond), wsxtest.WithTakeoverDelay(0),
	)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// eventsConfig is a configuration of the binary.
type eventsConfig struct {
	address string // where to connect
	dir     string // of the journal and the cache
	journal string // the field, if any
	output  string // with its processors
}

// printingOutput is an output that prints what these tests read back.
const printingOutput = `
pipeline:
  threads: 1
  processors:
    - mapping: 'root = { "id": @zato_msg_id, "number": this.number, "replayed": @zato_replayed.or(false) }'
output: { stdout: {} }
`

// journalField is a journal with the default size.
const journalField = `journal: { path: "%s/journal" }`

// write writes the configuration as a file of its own.
func (e *eventsConfig) write(t *testing.T) string {
	t.Helper()
	journal := e.journal
	if strings.Contains(journal, "%s") {
		journal = fmt.Sprintf(journal, e.dir)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `
http: { enabled: false }
shutdown_timeout: 5s
input:
  zato_wsx:
    connection: { address: "ws://%s/zato.wsx.gateway", username: user1, secret: secret1 }
    topics: [ %s ]
    cache: keys
    %s
cache_resources: [ { label: keys, file: { directory: %q } } ]
%s`, e.address, eventsTopic, journal, e.dir, e.output), 0o600))
	return path
}

// printedLine is a line that the binary printed.
type printedLine struct {
	ID       string `json:"id"`
	Number   int    `json:"number"`
	Replayed bool   `json:"replayed"`

	at time.Time // when it was read here
}

// process is a run of the binary. What it does not print as JSON is its log.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   logtest.Buffer
	ended chan struct{}
	err   error // once it has ended

	// mu guards lines.
	mu    sync.Mutex
	lines []printedLine
}

// start runs the binary, for as long as the test takes at most.
func start(t *testing.T, config string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), binary, "run", config), ended: make(chan struct{})}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.handleLine(scanner.Bytes())
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test failed
		<-p.ended
	})
	return p
}

// handleLine reads a line. The last one of a process that was killed may be half a line,
// which nobody was told that it was written.
func (p *process) handleLine(text []byte) {
	line := printedLine{at: time.Now()}
	if json.Unmarshal(text, &line) != nil {
		_, _ = p.log.Write(append(text, '\n')) // it cannot fail
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
}

// printedLines returns what was printed so far.
func (p *process) printedLines() []printedLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)]
}

// printedIDs returns the ids of what was printed so far.
func (p *process) printedIDs() set {
	ids := set{}
	for _, line := range p.printedLines() {
		ids[line.ID] = true
	}
	return ids
}

// suspend stops the process where it is: when this returns, none of its threads
// runs and none is in a system call that still changes anything.
func (p *process) suspend() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	require.Eventually(p.t, func() bool {
		stats, err := filepath.Glob(threads)
		return err == nil && len(stats) > 0 && allStopped(stats)
	}, streamtest.Limit, time.Millisecond, "the process does not stop")
}

// allStopped tells whether threads are stopped by a signal.
func allStopped(stats []string) bool {
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			return false // it ended meanwhile: look again
		}
		_, state, _ := strings.Cut(string(stat), ") ") // behind the name of the program
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// kill ends the process as kill -9 does, and reads what it had printed.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.ended
}

// stop asks the process to end and waits until it has.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
		require.NoError(p.t, p.err, "%s", &p.log)
	case <-time.After(streamtest.Limit):
		require.Fail(p.t, "the process does not end", "%s", &p.log)
	}
}

// set is a set of ids of messages.
type set map[string]bool

func (s set) add(ids ...string) {
	for _, id := range ids {
		s[id] = true
	}
}

func (s set) size() int { return len(s) }

// minus returns what is not in others.
func (s set) minus(others ...set) set {
	rest := set{}
	for id := range s {
		if !inAny(id, others) {
			rest[id] = true
		}
	}
	return rest
}

func inAny(id string, sets []set) bool {
	for _, s := range sets {
		if s[id] {
			return true
		}
	}
	return false
}

// deliveredIDs returns the ids of what a server wrote to sockets.
func deliveredIDs(server *wsxtest.Server) set {
	ids := set{}
	for _, m := range server.Delivered() {
		ids[m.ID] = true
	}
	return ids
}
