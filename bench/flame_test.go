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
	readName  = "github.com/zato-connect/zato-connect/wsx.(*session).read"
	splitName = "github.com/zato-connect/zato-connect/wsx/internal/wire.split[...]"
)

// profileOf is a profile of some samples.
func profileOf(samples ...*profile.Sample) *profile.Profile {
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

// sampleOf is a sample in which all calls but the outermost are inlined.
func sampleOf(side string, takes int64, innermostFirst ...string) *profile.Sample {
	inlined, outermost := &profile.Location{}, &profile.Location{}
	for i, name := range innermostFirst {
		at := inlined
		if i == len(innermostFirst)-1 {
			at = outermost
		}
		at.Line = append(at.Line, profile.Line{Function: &profile.Function{Name: name}})
	}
	return &profile.Sample{
		Location: []*profile.Location{inlined, outermost}, Value: []int64{1, takes},
		Label: map[string][]string{"side": {side}},
	}
}

func TestFlameGraphShowsOurSide(t *testing.T) {
	var data bytes.Buffer
	require.NoError(t, profileOf(
		sampleOf("ours", 6e9, splitName, readName),
		sampleOf("ours", 2e9, readName),
		sampleOf("ours", 19e8, "runtime.mallocgc", splitName, readName),
		sampleOf("ours", 97e6, "internal/poll.(*FD).Write"),
		sampleOf("ours", 3e6, "runtime.tooNarrow"),
		sampleOf("reference", 5e9, "main.(*rawConn).call"),
	).Write(&data))
	file := filepath.Join(t.TempDir(), "flame.svg")
	require.NoError(t, (&options{flame: file}).keep(data.Bytes()))
	picture, err := os.ReadFile(file)
	require.NoError(t, err)

	titles, texts := contents(t, picture)
	assert.Equal(t, []string{
		"What takes the time", "10.0 s of processor time: 100.0 %",
		readName + ": 99.0 %", splitName + ": 79.0 %", "runtime.mallocgc: 19.0 %",
		"internal/poll.(*FD).Write: 1.0 %",
	}, titles)
	// The write is too narrow for a name.
	assert.Equal(t, []string{
		"this project", "Connect's engine", "other packages", "Go's own", "10.0 s of processor time",
		"wsx.(*session).read", "wire.split[...]", "runtime.mallocgc",
	}, texts)
	assert.Contains(t, string(picture), `viewBox="0 0 1200 108"`) // six rows
	assert.Contains(t, string(picture), `<rect class="go" x="1188.0" y="54" width="11.1" height="17"/>`)
}

func TestFlameGraphNeedsSamples(t *testing.T) {
	_, err := flameOf(profileOf(sampleOf("reference", 1, "main.main")), "ours")
	assert.Error(t, err)
}

func TestLabelsAreShorterWhereTheyMustBe(t *testing.T) {
	for width, text := range map[float64]string{200: "wsx.(*session).read", 100: "read", 20: ""} {
		var drawn bytes.Buffer
		box{width: width}.draw(&drawn, labels(readName)...)
		_, texts := contents(t, drawn.Bytes())
		assert.Equal(t, text, strings.Join(texts, ""), width)
	}
	assert.Equal(t, []string{"json.Marshal", "Marshal"}, labels("encoding/json.Marshal"))
}

func TestFunctionsAreOfAKind(t *testing.T) {
	for function, kind := range map[string]string{
		readName: kindProject, "main.(*burst).renew": kindProject,
		"runtime.mallocgc": kindGo, "encoding/json.Marshal": kindGo,
		"github.com/redpanda-data/benthos/v4/internal/message.NewPart": kindEngine,
		"github.com/gorilla/websocket.(*Conn).WriteMessage":            kindOther,
	} {
		assert.Equal(t, kind, kindOf(function), function)
	}
}

// contents are the titles and the texts of XML.
func contents(t *testing.T, data []byte) (titles, texts []string) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(data))
	element := ""
	for {
		token, err := decoder.Token()
		if err == io.EOF { //nolint:errorlint // it says so as it is
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
