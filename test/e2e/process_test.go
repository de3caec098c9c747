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

// eventsTopic is a topic with guaranteed delivery.
const eventsTopic = "/events"

// startEvents starts a server with a patched gateway and eventsTopic.
func startEvents(t *testing.T) *wsxtest.Server {
	t.Helper()
	server := wsxtest.NewServer(
		wsxtest.WithTopic(wsxtest.Topic{Name: eventsTopic, GuaranteedDelivery: true}),
		wsxtest.WithDeliveryInterval(5*time.Millisecond), wsxtest.WithTakeoverDelay(0),
		wsxtest.WithReliableSubscriptions(), // what the process loses or repeats is its own doing then
	)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// eventsConfig is a configuration that receives eventsTopic.
type eventsConfig struct {
	address string // of the server
	dir     string // of the journal and the cache
	journal string // the journal field, or empty
	output  string // the output and its processors
}

// printingOutput is an output that prints each message as a printedLine.
const printingOutput = `
pipeline:
  threads: 1
  processors:
    - mapping: 'root = { "id": @zato_msg_id, "number": this.number, "replayed": @zato_replayed.or(false) }'
output: { stdout: {} }
`

// journalField is a journal with the default size. Its argument is the folder.
const journalField = `journal: { path: "%s/journal" }`

// write writes the configuration to a new file and returns its path.
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

	at time.Time // when the test read it
}

// process is a running binary. Lines that are not JSON are added to its log.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   logtest.Buffer
	ended chan struct{}
	err   error // valid once ended is closed

	// mu guards lines.
	mu    sync.Mutex
	lines []printedLine
}

// start runs the binary. It is killed when the test ends.
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
		_ = p.cmd.Process.Kill() // it has exited already, unless the test failed
		<-p.ended
	})
	return p
}

// handleLine parses a line. The last line of a killed process may be incomplete. Its
// message has not been acknowledged, so it does not count as printed.
func (p *process) handleLine(text []byte) {
	line := printedLine{at: time.Now()}
	if json.Unmarshal(text, &line) != nil {
		_, _ = p.log.Write(append(text, '\n')) // never fails
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
}

// printedLines returns the lines printed so far.
func (p *process) printedLines() []printedLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)]
}

// printedIDs returns the ids of the messages printed so far.
func (p *process) printedIDs() set {
	ids := set{}
	for _, line := range p.printedLines() {
		ids[line.ID] = true
	}
	return ids
}

// suspend stops the process with SIGSTOP. When it returns, no thread of the process is
// running or in a system call.
func (p *process) suspend() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	require.Eventually(p.t, func() bool {
		stats, err := filepath.Glob(threads)
		return err == nil && len(stats) > 0 && allStopped(stats)
	}, streamtest.Timeout, time.Millisecond, "the process was not suspended")
}

// allStopped reports whether all threads are stopped by a signal.
func allStopped(stats []string) bool {
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			return false // the thread has ended: try again
		}
		_, state, _ := strings.Cut(string(stat), ") ") // after the name of the program
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// kill kills the process with SIGKILL and reads its remaining output.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.ended
}

// stop stops the process with SIGTERM and waits until it exits. It must exit with 0.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
		require.NoError(p.t, p.err, "%s", &p.log)
	case <-time.After(streamtest.Timeout):
		require.Fail(p.t, "the process did not exit", "%s", &p.log)
	}
}

// set is a set of message ids.
type set map[string]bool

func (s set) add(ids ...string) {
	for _, id := range ids {
		s[id] = true
	}
}

func (s set) size() int { return len(s) }

// minus returns the ids that are in none of the others.
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

// deliveredIDs returns the ids of the messages that a server wrote to sockets.
func deliveredIDs(server *wsxtest.Server) set {
	ids := set{}
	for _, m := range server.Delivered() {
		ids[m.ID] = true
	}
	return ids
}
