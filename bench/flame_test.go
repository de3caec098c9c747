package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	readName   = "github.com/zato-connect/zato-connect/wsx.(*session).read"
	decodeName = "github.com/zato-connect/zato-connect/wsx/internal/wire.Decode[...]"
)

// newProfile returns a profile of some samples.
func newProfile(samples ...*profile.Sample) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Sample:     samples,
	}
	for _, s := range samples {
		for _, l := range s.Location {
			l.ID = uint64(len(p.Location) + 1)
			p.Location = append(p.Location, l)
			for _, line := range l.Line {
				line.Function.ID = uint64(len(p.Function) + 1)
				p.Function = append(p.Function, line.Function)
			}
		}
	}
	return p
}

// newSample returns a sample in which all calls except the outermost are inlined.
func newSample(side string, nanoseconds int64, innermostFirst ...string) *profile.Sample {
	inlined, outermost := &profile.Location{}, &profile.Location{}
	for i, name := range innermostFirst {
		location := inlined
		if i == len(innermostFirst)-1 {
			location = outermost
		}
		location.Line = append(location.Line, profile.Line{Function: &profile.Function{Name: name}})
	}
	return &profile.Sample{
		Location: []*profile.Location{inlined, outermost}, Value: []int64{1, nanoseconds},
		Label: map[string][]string{"side": {side}},
	}
}

func TestFlameGraphShowsOurSideOnly(t *testing.T) {
	var data bytes.Buffer
	require.NoError(t, newProfile(
		newSample("ours", 6e9, decodeName, readName),
		newSample("ours", 2e9, readName),
		newSample("ours", 19e8, "runtime.mallocgc", decodeName, readName),
		newSample("ours", 97e6, "internal/poll.(*FD).Write"),
		newSample("ours", 3e6, "runtime.tooNarrow"),
		newSample("reference", 5e9, "main.(*rawConn).call"),
	).Write(&data))
	file := filepath.Join(t.TempDir(), "flame.svg")
	require.NoError(t, (&options{flame: file}).saveProfile(data.Bytes()))
	picture, err := os.ReadFile(file)
	require.NoError(t, err)

	titles, texts := svgTexts(t, picture)
	assert.Equal(t, []string{
		"Where the CPU time goes", "10.0 s of CPU time: 100.0 %",
		readName + ": 99.0 %", decodeName + ": 79.0 %", "runtime.mallocgc: 19.0 %",
		"internal/poll.(*FD).Write: 1.0 %",
	}, titles)
	// The box of the write is too narrow for a label.
	assert.Equal(t, []string{
		"this project", "Connect's engine", "other packages", "Go standard library", "10.0 s of CPU time",
		"wsx.(*session).read", "wire.Decode[...]", "runtime.mallocgc",
	}, texts)
	assert.Contains(t, string(picture), `viewBox="0 0 1200 108"`) // six rows
	assert.Contains(t, string(picture), `<rect class="go" x="1188.0" y="54" width="11.1" height="17"/>`)
}

func TestFlameGraphNeedsSamples(t *testing.T) {
	_, err := newFlameGraph(newProfile(newSample("reference", 1, "main.main")), "ours")
	assert.Error(t, err)
}

func TestLabelsAreShortenedToFit(t *testing.T) {
	for width, text := range map[float64]string{200: "wsx.(*session).read", 100: "read", 20: ""} {
		var drawn bytes.Buffer
		box{width: width}.draw(&drawn, functionLabels(readName)...)
		_, texts := svgTexts(t, drawn.Bytes())
		assert.Equal(t, text, strings.Join(texts, ""), width)
	}
	assert.Equal(t, []string{"json.Marshal", "Marshal"}, functionLabels("encoding/json.Marshal"))
}

func TestFunctionsAreColouredByOrigin(t *testing.T) {
	for function, kind := range map[string]string{
		readName: kindProject, "main.(*frameSet).renewIDs": kindProject,
		"runtime.mallocgc": kindGo, "encoding/json.Marshal": kindGo,
		"github.com/redpanda-data/benthos/v4/internal/message.NewPart": kindEngine,
		"github.com/gorilla/websocket.(*Conn).WriteMessage":            kindOther,
	} {
		assert.Equal(t, kind, functionKind(function), function)
	}
}

// svgTexts returns the titles and the texts of an SVG.
func svgTexts(t *testing.T, data []byte) (titles, texts []string) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(data))
	element := ""
	for {
		token, err := decoder.Token()
		if err == io.EOF { //nolint:errorlint // Token returns io.EOF unwrapped
			return titles, texts
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			element = token.Name.Local
		case xml.EndElement:
			element = ""
		case xml.CharData:
			switch element {
			case "title":
				titles = append(titles, string(token))
			case "text":
				texts = append(texts, string(token))
			}
		}
	}
}
