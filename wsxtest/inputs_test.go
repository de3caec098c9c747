package wsxtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// inputsFile has inputs and the answers of a Zato 3.3 server to them.
const inputsFile = "testdata/inputs.json"

var writeInputs = flag.String("inputs.write", "", "write the inputs with the answers that came to this file")

// inputSeries is a series of inputs to one gateway.
type inputSeries struct {
	Name    string         `json:"name"`
	Gateway string         `json:"gateway"`
	Login   map[string]any `json:"login,omitempty"`
	Steps   []*inputStep   `json:"steps"`
}

// inputStep is an input, or a time during which messages are expected.
type inputStep struct {
	On   string          `json:"on"` // the connection
	Data json.RawMessage `json:"data,omitempty"`
	// Meta has fields of the frame's meta besides the usual ones.
	Meta map[string]any `json:"meta,omitempty"`
	// Save is the prefix of the variables for the fields of the answer.
	Save bool `json:"save,omitempty"`
	// Silent is for how many seconds no answer must come.
	Silent float64 `json:"silent,omitempty"`
	// Listen is for how many seconds messages are received.
	Listen float64 `json:"listen,omitempty"`
	// Expected is the answer, or the messages.
	Expected json.RawMessage `json:"expected"`
}

func loadInputs(t *testing.T) []*inputSeries {
	t.Helper()
	content, err := os.ReadFile(inputsFile)
	require.NoError(t, err)
	var all []*inputSeries
	require.NoError(t, json.Unmarshal(content, &all))
	return all
}

// TestInputsAreAnsweredAsByARealServer compares the simulator with the recorded answers
// of a server. With ZATO_WSX_ADDRESS_PATCHED and its siblings it asks this server, which
// needs the topics /my/inputs.memory, /my/inputs.unread and /my/inputs.gd, the last with
// guaranteed delivery.
func TestInputsAreAnsweredAsByARealServer(t *testing.T) {
	all := loadInputs(t)
	require.GreaterOrEqual(t, len(all), 30)
	for _, series := range all {
		t.Run(series.Name, func(t *testing.T) {
			if address := os.Getenv("ZATO_WSX_ADDRESS_" + strings.ToUpper(series.Gateway)); address != "" {
				playSeries(t, series, func(t *testing.T) *peer {
					t.Helper()
					p := &peer{events: make(chan event, 1000)}
					p.listen(t, upgrade(t, websocket.Dialer{}, address))
					return p
				})
				return
			}
			synctest.Test(t, func(t *testing.T) {
				network := wsxtest.NewNetwork()
				srv := inputServer(network)
				require.NoError(t, srv.Start())
				t.Cleanup(srv.Close)
				playSeries(t, series, func(t *testing.T) *peer {
					t.Helper()
					return dial(t, srv, "/"+series.Gateway, network)
				})
			})
		})
	}
	if *writeInputs != "" {
		content, err := json.MarshalIndent(all, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*writeInputs, append(content, '\n'), 0o600))
	}
}

// inputServer returns a server with the channels and topics of the real one.
func inputServer(network *wsxtest.Network) *wsxtest.Server {
	options := []wsxtest.Option{
		wsxtest.WithNetwork(network), wsxtest.WithTranscriptServer(),
		inMemory("/my/inputs.memory"), guaranteed("/my/inputs.gd"),
		wsxtest.WithChannel(wsxtest.Channel{Path: "/echo", Service: wsxtest.Echo}),
		inMemory("/my/inputs.unread"),
		wsxtest.WithService("my.fail", func(context.Context, wsxtest.Invocation) (any, error) {
			return nil, errors.New("This service always fails")
		}),
	}
	for path, gateway := range map[string]wsxtest.Gateway{
		"/stock": wsxtest.Stock, "/patched": wsxtest.Patched, "/connect": wsxtest.Connect,
	} {
		options = append(options, wsxtest.WithChannel(wsxtest.Channel{
			Path: path, Username: "user1", Secret: "secret1", Gateway: gateway,
			NoPublish: []string{"/other/nosuch"}, NoSubscribe: []string{"/other/nosuch"},
		}))
	}
	return wsxtest.NewServer(options...)
}

// seriesPlayer plays a series over its connections.
type seriesPlayer struct {
	t         *testing.T
	series    *inputSeries
	open      func(*testing.T) *peer
	peers     map[string]*peer
	pushed    map[string][]any // messages that came before they were expected
	variables []string         // old and new texts, for a strings.Replacer
	names     idNames
}

func playSeries(t *testing.T, series *inputSeries, open func(*testing.T) *peer) {
	t.Helper()
	p := &seriesPlayer{
		t: t, series: series, open: open, peers: map[string]*peer{}, pushed: map[string][]any{}, names: idNames{},
	}
	for i, step := range series.Steps {
		<-time.After(10 * time.Millisecond) // no two publications have the same time
		var got bytes.Buffer
		encoder := json.NewEncoder(&got)
		encoder.SetEscapeHTML(false) // ids become names in angle brackets
		require.NoError(t, encoder.Encode(p.play(step)))
		normalized := idlePattern.ReplaceAllString(p.names.normalize(got.String()), `"idle":0`)
		normalized = epochPattern.ReplaceAllString(normalized, `"$1":"TIME"`)
		if *writeInputs != "" {
			step.Expected = json.RawMessage(normalized)
			continue
		}
		assert.JSONEq(t, string(step.Expected), normalized, "step %d: %s", i, step.Data)
	}
}

var (
	idlePattern  = regexp.MustCompile(`"idle":[\d.e-]+`)
	epochPattern = regexp.MustCompile(`"(pub_time|expiration_time)":("[\d.]+"|TIME)`)
)

// play plays one step and returns what came.
func (p *seriesPlayer) play(step *inputStep) any {
	conn := p.peer(step.On)
	if step.Listen > 0 {
		p.receive(conn, step.On, step.Listen, "")
		pushed := p.pushed[step.On]
		p.pushed[step.On] = nil
		return pushed
	}
	var data any
	if step.Data != nil {
		data = json.RawMessage(strings.NewReplacer(p.variables...).Replace(string(step.Data)))
	}
	meta := conn.newMeta("invoke-service", step.Meta)
	sent, err := json.Marshal(meta["id"])
	require.NoError(p.t, err)
	conn.sendFrame(p.t, meta, data)
	if step.Silent > 0 {
		return p.receive(conn, step.On, step.Silent, "any")
	}
	answer := p.receive(conn, step.On, 8, strings.Trim(string(sent), `"`))
	if step.Save {
		p.save(answer)
	}
	return answer
}

// peer returns a connection, which it opens if necessary.
func (p *seriesPlayer) peer(name string) *peer {
	conn := p.peers[name]
	if conn == nil {
		conn = p.open(p.t)
		fields := map[string]any{}
		if p.series.Gateway == "echo" {
			fields = map[string]any{"username": nil, "secret": nil}
		}
		maps.Copy(fields, p.series.Login)
		conn.logIn(p.t, fields)
		p.peers[name] = conn
	}
	return conn
}

// receive receives frames until a response comes, and returns what it has.
func (p *seriesPlayer) receive(conn *peer, name string, seconds float64, id string) any {
	timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return "nothing"
		case ev := <-conn.events:
			if ev.kind == transcript.Ping {
				require.NoError(p.t, conn.ws.WriteControl(websocket.PongMessage, ev.bytes, time.Now().Add(time.Minute)))
				continue
			}
			if ev.kind != transcript.Text {
				return ev.kind
			}
			var f frame
			require.NoError(p.t, json.Unmarshal(ev.bytes, &f))
			if f.Meta.MsgType == "zwsx.psrq" {
				p.pushed[name] = append(p.pushed[name], pushedFields(p.t, f.Data)...)
				continue
			}
			if id == "" {
				continue
			}
			answer := map[string]any{"status": f.Meta.Status, "data": f.Data}
			if f.Meta.InReplyTo != id {
				answer["in_reply_to"] = f.Meta.InReplyTo
			}
			if f.Meta.ErrorMessage != "" {
				answer["error"], answer["data"] = f.Meta.ErrorMessage, nil
			}
			return answer
		}
	}
}

// pushedFields returns the messages of a frame without their times.
func pushedFields(t *testing.T, data json.RawMessage) []any {
	t.Helper()
	var list []map[string]any
	if json.Unmarshal(data, &list) != nil {
		list = make([]map[string]any, 1)
		require.NoError(t, json.Unmarshal(data, &list[0]))
	}
	messages := make([]any, len(list))
	for i, m := range list {
		maps.DeleteFunc(m, func(field string, _ any) bool { return strings.HasSuffix(field, "time_iso") })
		messages[i] = m
	}
	return messages
}

// save makes variables of the key and the holder in an answer.
func (p *seriesPlayer) save(answer any) {
	raw, err := json.Marshal(answer)
	require.NoError(p.t, err)
	for name, pattern := range savedPatterns {
		if found := pattern.FindSubmatch(raw); found != nil {
			p.variables = append(p.variables, name, string(found[1]))
		}
	}
}

var savedPatterns = map[string]*regexp.Regexp{
	"$key": regexp.MustCompile(`"sub_key":"([^"]+)"`), "$holder": regexp.MustCompile(`"holder":"([^"]+)"`),
}
