// Package transcript reads the recordings of a real Zato server that the
// simulator and the client are held to.
package transcript

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Transcript is one recorded scenario.
type Transcript struct {
	Scenario string `json:"scenario"`
	Title    string `json:"title"`
	Events   []Event
}

// Event is one line of a recording.
type Event struct {
	// T is in seconds from the beginning.
	T float64 `json:"t"`
	// Note, if set, is a comment and all that there is.
	Note string `json:"note"`
	// Conn names the connection; Dir is client or server; Frame is open, text,
	// ping, pong, close, eof or silence.
	Conn    string          `json:"conn"`
	Dir     string          `json:"dir"`
	Frame   string          `json:"frame"`
	Payload json.RawMessage `json:"payload"`
}

// Client tells whether the event is the client's.
func (e *Event) Client() bool { return e.Dir == "client" }

// Bytes is the payload of a text, a ping or a pong.
func (e *Event) Bytes() []byte {
	var s string
	if json.Unmarshal(e.Payload, &s) == nil {
		return []byte(s)
	}
	var raw struct {
		Hex string `json:"hex"`
	}
	_ = json.Unmarshal(e.Payload, &raw)
	b, _ := hex.DecodeString(raw.Hex)
	return b
}

// Close is the payload of a close frame.
func (e *Event) Close() (code int, reason string) {
	var c struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(e.Payload, &c)
	return c.Code, c.Reason
}

// Seconds is the payload of a silence.
func (e *Event) Seconds() float64 {
	var s struct {
		Seconds float64 `json:"seconds"`
	}
	_ = json.Unmarshal(e.Payload, &s)
	return s.Seconds
}

// Path is the payload of an opening.
func (e *Event) Path() string {
	var p struct {
		Path string `json:"path"`
	}
	_ = json.Unmarshal(e.Payload, &p)
	return p.Path
}

// LoadAll reads every recording of a folder.
func LoadAll(dir string) ([]Transcript, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no recordings in %s", dir)
	}
	var all []Transcript
	for _, path := range paths {
		t, err := load(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func load(path string) (Transcript, error) {
	var t Transcript
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return t, err
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, len(raw)+1)
	for first := true; lines.Scan(); first = false {
		if first {
			if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
				return t, err
			}
			continue
		}
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return t, err
		}
		t.Events = append(t.Events, e)
	}
	return t, lines.Err()
}
