//go:build unix

package zato_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
	Took   time.Duration `json:"took"`  // since the publisher sent the message
	Input  int           `json:"input"` // the number of the input, if there are several
}

// consumer is a process that writes the messages of its run to a file in a folder that was empty.
type consumer struct {
	*process

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
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	return &consumer{process: startProcess(t, dir, "config.yaml", "ZATO_WSX_SECRET="+secret), file: file}
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

// awaitLines waits until the process has written n lines.
func (p *consumer) awaitLines(n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { p.read(); return len(p.lines) >= n }, eventTimeout, pollInterval,
		"only %d of %d lines:\n%s", len(p.lines), n, &p.log)
}
