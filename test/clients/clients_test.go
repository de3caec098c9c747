// Package clients_test runs Zato's own clients against the simulator. Their frames and
// the simulator's have to be those that were recorded with a real server.
package clients_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

const (
	topic            = "/my/topic2" // nobody else publishes to it
	username, secret = "user1", "secret1"
)

// Flags of the test. The recordings are of a server as wsxtest/conformance/zato describes
// it, with a patched gateway and the topic.
var (
	modules = flag.String("clients.modules", "", "`folder` with the node_modules of the JavaScript client")
	python  = flag.String("clients.python", "", "Python `interpreter` that has the Python client")
	record  = flag.String("clients.record", "", "`address` of a real server to record the frames of")
)

func TestJavaScriptClientMeetsTheRecordedServer(t *testing.T) {
	if *modules == "" {
		t.Skip("-clients.modules is not set: make test-clients sets it")
	}
	program, err := filepath.Abs("javascript.js")
	require.NoError(t, err)
	code, err := os.ReadFile(program)
	require.NoError(t, err)
	// Node looks for modules beside the program, or in its own folder if there is none.
	cmd := exec.CommandContext(t.Context(), "node", "-e", string(code), "--")
	cmd.Dir = *modules
	compareWithRecording(t, cmd, "javascript")
}

func TestPythonClientMeetsTheRecordedServer(t *testing.T) {
	if *python == "" {
		t.Skip("-clients.python is not set: make test-clients sets it")
	}
	compareWithRecording(t, exec.CommandContext(t.Context(), *python, "python.py"), "python")
}

// compareWithRecording runs a client against the simulator and compares the frames with
// those of a recording, or makes the recording.
func compareWithRecording(t *testing.T, cmd *exec.Cmd, name string) {
	t.Helper()
	path := filepath.Join("testdata", name+".jsonl")
	if *record != "" {
		save(t, path, name, run(t, cmd, *record))
		return
	}
	server := wsxtest.NewServer(wsxtest.WithTranscriptServer())
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	recorded, err := transcript.Load(path)
	require.NoError(t, err)
	expected, got := split(t, recorded.Events), split(t, run(t, cmd, server.URL("/my.wsx.cid")))
	for kind, frames := range expected {
		require.Len(t, got[kind], len(frames), kind)
		for i, frame := range frames {
			assert.JSONEq(t, frame, got[kind][i], "frame %d of kind %s", i+1, kind)
		}
	}
}

// run runs a client through one session and returns the frames.
func run(t *testing.T, cmd *exec.Cmd, address string) []transcript.Event {
	t.Helper()
	proxy := newProxy(t, address)
	cmd.Args = append(cmd.Args, proxy.address, username, secret, topic)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.WaitDelay = time.Second
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	require.NoError(t, cmd.Wait())
	return proxy.frames(t)
}

// volatile are the values that differ from run to run: ids, keys, tokens and times.
var volatile = regexp.MustCompile(
	`\d{4}-\d\d-\d\dT[\d:.]+Z?|zpsk\.wsx\.official\.\w+\.[0-9a-f]{6}|zpsm\w+|zwsxt\.\w+|` +
		`zato\.ws\.client\.\w+\.\w+|official\.0\.[0-9a-f]+|\b[0-9a-f]{20,32}\b`)

// Kinds of frames. What the server pushes may come before an answer or behind it, so the
// kinds are compared with each other.
const (
	fromClient = "sent"
	responses  = "answered"
	pushes     = "pushed"
)

// split returns the text frames by kind. It replaces each volatile value by the number of its
// first occurrence, so that references from frame to frame stay.
func split(t *testing.T, events []transcript.Event) map[string][]string {
	t.Helper()
	numbers := map[string]string{}
	name := func(value string) string {
		if value[4] == '-' {
			return "a time"
		}
		if numbers[value] == "" {
			numbers[value] = "id " + strconv.Itoa(len(numbers)+1)
		}
		return numbers[value]
	}
	frames := map[string][]string{}
	for _, event := range events {
		if event.Frame != transcript.Text {
			continue
		}
		raw, err := event.Bytes()
		require.NoError(t, err)
		var frame struct {
			Meta struct {
				MsgType string `json:"msg_type"`
			} `json:"meta"`
		}
		require.NoError(t, json.Unmarshal(raw, &frame))
		kind := responses
		switch {
		case event.Dir == transcript.Client:
			kind = fromClient
		case frame.Meta.MsgType == "zwsx.psrq":
			kind = pushes
		}
		frames[kind] = append(frames[kind], volatile.ReplaceAllStringFunc(string(raw), name))
	}
	return frames
}

func save(t *testing.T, path, name string, events []transcript.Event) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	encoder := json.NewEncoder(file)
	require.NoError(t, encoder.Encode(map[string]string{
		"scenario": "official-" + name, "title": "The official client, " + name, "server": "Zato 3.3",
	}))
	for _, event := range events {
		require.NoError(t, encoder.Encode(map[string]any{
			"t": event.Seconds, "conn": name, "dir": event.Dir, "frame": event.Frame, "payload": event.Payload,
		}))
	}
	require.NoError(t, file.Close())
}
