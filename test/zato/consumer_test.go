//go:build unix

package zato_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
)

// eventTimeout is how long the tests wait for an event of a process.
const eventTimeout = 2 * time.Minute

// pollInterval is the time between two looks at a file or a log.
const pollInterval = 5 * time.Millisecond

// consumerConfig is the configuration of a consumer. Its arguments are the address, the username, the topic, the other
// fields of the input, and the id of the run.
const consumerConfig = `
http: { enabled: false }
shutdown_timeout: 5s
input:
  zato_wsx:
    connection: { address: %q, username: %q, secret_env: ZATO_WSX_SECRET }
    topics: [ %q ]
    %s
output:
  file: { path: lines.jsonl, codec: lines }
pipeline:
  threads: 1
  processors:
    - mapping: |
        let m = content().parse_json().catch({})
        root = if $m.run.or("") == %q {
          { "id": @zato_msg_id, "number": $m.number, "took": timestamp_unix_nano() - $m.at }
        } else {
          deleted()
        }
`

// workConfig follows consumerConfig if each message takes a time, its argument.
const workConfig = `    - sleep: { duration: %s }
`

// line is a line that a consumer wrote.
type line struct {
	ID     string        `json:"id"`
	Number int           `json:"number"`
	Took   time.Duration `json:"took"` // since the publisher sent the message
}

// consumer is a process of the binary. It writes the messages of its run to a file in a folder that was empty.
type consumer struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   logtest.Buffer
	ended chan struct{}
	err   error // valid once ended is closed
	// slot is the number that the consumer has among those that run.
	slot int
	// takenOver is how often another consumer has taken the subscription over, and handedBack how often one that was
	// stopped has handed it back.
	takenOver, handedBack int

	file   *os.File
	unread []byte // an incomplete line
	lines  []line
	// counted is the number of lines that the run has looked at.
	counted int
}

// startConsumer starts a process. It is killed when the test ends.
func startConsumer(t *testing.T, config, secret string) *consumer {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600))
	file, err := os.Create(filepath.Join(dir, "lines.jsonl"))
	require.NoError(t, err)
	p := &consumer{t: t, cmd: exec.CommandContext(t.Context(), binary, "run", "config.yaml"), ended: make(chan struct{})}
	p.cmd.Dir, p.file = dir, file
	p.cmd.Env = append(os.Environ(), "ZATO_WSX_SECRET="+secret)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has exited already, unless the test failed
		<-p.ended
		if t.Failed() {
			t.Logf("log of a consumer with %d lines:\n%s", len(p.lines), &p.log)
		}
		require.NoError(t, file.Close())
	})
	return p
}

// awaitLogs waits until the log contains a text n times.
func (p *consumer) awaitLogs(text string, n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Count(p.log.String(), text) >= n }, eventTimeout, pollInterval,
		"%q is not in the log %d times:\n%s", text, n, &p.log)
}

// read reads the lines that the process has written. The last line of a killed process may be
// incomplete. Its message has not been acknowledged, so the line does not count.
func (p *consumer) read() {
	p.t.Helper()
	text, err := io.ReadAll(p.file)
	require.NoError(p.t, err)
	text = append(p.unread, text...)
	for {
		row, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			p.unread = text
			return
		}
		var l line
		require.NoError(p.t, json.Unmarshal(row, &l), "%s", row)
		p.lines = append(p.lines, l)
		text = rest
	}
}

// awaitLine waits until the process has written a line, or until a channel is closed.
func (p *consumer) awaitLine(until <-chan struct{}) {
	for len(p.lines) == 0 {
		p.read()
		select {
		case <-time.After(pollInterval):
		case <-until:
			return
		}
	}
}

// freeze suspends the process with SIGSTOP.
func (p *consumer) freeze() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP)) }

// thaw resumes a frozen process.
func (p *consumer) thaw() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT)) }

// kill kills the process with SIGKILL.
func (p *consumer) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.ended
}

// stop stops the process with SIGTERM. It must exit with 0.
func (p *consumer) stop() {
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
		require.NoError(p.t, p.err, "%s", &p.log)
	case <-time.After(eventTimeout):
		require.Fail(p.t, "the process did not exit", "%s", &p.log)
	}
}
