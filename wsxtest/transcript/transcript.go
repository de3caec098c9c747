// Package transcript reads recordings of the frames that a real Zato server and a
// client exchanged (wsxtest/testdata/transcripts).
package transcript

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Values of [Event.Dir]: who sent the frame.
const (
	Client = "client"
	Server = "server"
)

// Values of [Event.Frame].
const (
	Open    = "open"    // the server upgraded the connection
	Text    = "text"    // a text frame
	Binary  = "binary"  // a binary frame
	Ping    = "ping"    // a ping frame
	Pong    = "pong"    // a pong frame
	Close   = "close"   // a close frame
	EOF     = "eof"     // the TCP connection ended
	Silence = "silence" // the server sent nothing for a while
)

// Transcript is one recording.
type Transcript struct {
	Scenario string `json:"scenario"`
	Title    string `json:"title"`
	Server   string `json:"server"`
	Events   []Event
}

// Event is an event of a recording, or a comment.
type Event struct {
	// Seconds is the time since the first event.
	Seconds float64 `json:"t"`
	Conn    string  `json:"conn"`
	Dir     string  `json:"dir"`
	Frame   string  `json:"frame"`
	// Payload is the recorded payload. See [Event.Bytes] and [Event.Details].
	Payload json.RawMessage `json:"payload"`
	// Note is a comment. If it is set, all other fields except Seconds are empty.
	Note string `json:"note"`
}

// Offset returns the time since the first event.
func (e Event) Offset() time.Duration {
	return time.Duration(e.Seconds * float64(time.Second))
}

// Bytes returns the payload of a text, ping or pong frame.
func (e Event) Bytes() ([]byte, error) {
	var text string
	if err := json.Unmarshal(e.Payload, &text); err == nil {
		return []byte(text), nil
	}
	var raw struct {
		Hex string `json:"hex"`
	}
	if err := json.Unmarshal(e.Payload, &raw); err != nil {
		return nil, fmt.Errorf("reading the payload: %w", err)
	}
	return hex.DecodeString(raw.Hex)
}

// Details is the payload of an open, close or silence event.
type Details struct {
	Path    string  `json:"path"`    // open
	Code    int     `json:"code"`    // close
	Reason  string  `json:"reason"`  // close
	Seconds float64 `json:"seconds"` // silence
}

// Details returns the payload of an open, close or silence event.
func (e Event) Details() (Details, error) {
	var d Details
	err := json.Unmarshal(e.Payload, &d)
	return d, err
}

// read returns the content of a file. If its name ends with ".gz", it is decompressed.
func read(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the caller chooses the path
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is only read
	if !strings.HasSuffix(path, ".gz") {
		return io.ReadAll(file)
	}
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("decompressing %s: %w", path, err)
	}
	return io.ReadAll(unzipped)
}

// Load reads a recording. If its name ends with ".gz", it is compressed with gzip.
func Load(path string) (Transcript, error) {
	content, err := read(path)
	if err != nil {
		return Transcript{}, fmt.Errorf("loading a transcript: %w", err)
	}
	var t Transcript
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for n := 1; lines.Scan(); n++ {
		var event Event
		target := any(&event)
		if n == 1 {
			target = &t
		}
		if err := json.Unmarshal(lines.Bytes(), target); err != nil {
			return t, fmt.Errorf("loading %s: line %d: %w", path, n, err)
		}
		if n > 1 {
			t.Events = append(t.Events, event)
		}
	}
	return t, lines.Err()
}

// LoadAll reads all recordings in a folder. The keys are the names of the scenarios.
func LoadAll(folder string) (map[string]Transcript, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.jsonl*"))
	if err != nil {
		return nil, fmt.Errorf("loading transcripts: %w", err)
	}
	all := map[string]Transcript{}
	for _, path := range paths {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".jsonl")
		if all[name], err = Load(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}
