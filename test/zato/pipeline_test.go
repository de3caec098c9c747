//go:build unix

package zato_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
)

// pipelineConfig is the configuration of a process that publishes the messages of a file, and writes those that fail to
// another one. Its arguments are the rate in messages a second, the address, the username and the other fields of the
// output.
const pipelineConfig = `
http: { enabled: false }
input:
  file: { paths: [ messages.jsonl ], scanner: { lines: { max_buffer_size: 100000000 } } }
pipeline:
  threads: 1
  processors:
    - rate_limit: { resource: pace }
    - mapping: |
        meta = this.without("content")
        root = this.content.decode("base64")
rate_limit_resources: [ { label: pace, local: { count: %d, interval: 1s } } ]
output:
  fallback:
    - zato_wsx:
        connection: { address: %q, username: %q, secret_env: ZATO_WSX_SECRET }
        batching: { count: 20, period: 200ms }
        %s
    - file: { path: failed.jsonl, codec: lines }
      processors:
        - mapping: 'root = { "number": @number, "error": @fallback_error }'
`

// publication is a message that a pipeline publishes. What is not its content is metadata there.
type publication struct {
	Number  int    `json:"number"`
	Content []byte `json:"content"`

	Topic      string `json:"topic"`
	Priority   string `json:"priority,omitempty"`
	Expiration string `json:"expiration,omitempty"`
	HasGD      string `json:"has_gd,omitempty"`
	MsgID      string `json:"msg_id,omitempty"`
	CorrelID   string `json:"correl_id,omitempty"`
	MimeType   string `json:"mime_type,omitempty"`
	ExtPubTime string `json:"ext_pub_time,omitempty"`
}

// failure is a message that a pipeline could not publish.
type failure struct {
	Number int    `json:"number"`
	Error  string `json:"error"`
}

// pipeline is a process that publishes messages and then ends.
type pipeline struct {
	*process

	dir string
}

// startPipeline starts to publish messages, with the given fields of the output.
func (r *run) startPipeline(address, fields string, rate int, messages []publication) *pipeline {
	t := r.t
	t.Helper()
	p := &pipeline{dir: t.TempDir()}
	var lines strings.Builder
	for i := range messages {
		line, err := json.Marshal(&messages[i])
		require.NoError(t, err)
		_, _ = lines.Write(append(line, '\n')) // never fails
	}
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "messages.jsonl"), []byte(lines.String()), 0o600))
	config := fmt.Sprintf(pipelineConfig, rate, address, r.target.username,
		strings.ReplaceAll(fields, "\n", "\n        "))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "config.yaml"), []byte(config), 0o600))
	p.process = startProcess(t, p.dir, "config.yaml", "ZATO_WSX_SECRET="+r.target.secret)
	return p
}

// failures returns the messages that were not published. The process must have exited.
func (p *pipeline) failures() []failure {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "failed.jsonl"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(p.t, err)
	var failures []failure
	for line := range strings.Lines(string(text)) {
		var f failure
		require.NoError(p.t, json.Unmarshal([]byte(line), &f), line)
		failures = append(failures, f)
	}
	return failures
}
