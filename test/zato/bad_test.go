//go:build unix

package zato_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badList is how many messages a list has that is half bad.
const badList = 400

// badRow is the row of bad messages among good ones, which the consumer fetches.
func badRow(how string) *row {
	return &row{gateway: "connect", input: "fetched", fields: fetchedFields, fault: fault{name: "bad messages in " + how}}
}

// badTests publish bad messages among good ones, by how they do so.
var badTests = map[string]func(*run) *mixture{
	"calls":                     (*run).publishItems,
	"a pipeline":                (*run).publishInPipeline,
	"a pipeline behind a limit": (*run).publishLarge,
}

func TestServerNamedByTheEnvironmentTakesTheGoodMessagesAndTellsTheBadOnes(t *testing.T) {
	for how, publish := range badTests {
		t.Run(how, func(t *testing.T) {
			tgt := environmentTarget(t)
			if reason := tgt.lacks(badRow(how)); reason != "" {
				t.Skip(reason)
			}
			newRun(t, tgt, badRow(how)).checkMixture(publish)
		})
	}
}

func TestSimulatorTakesTheGoodMessagesAndTellsTheBadOnes(t *testing.T) {
	t.Parallel()
	for how, publish := range badTests {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			newRun(t, simulatorTarget(t), badRow(how)).checkMixture(publish)
		})
	}
}

// mixture counts what was published.
type mixture struct{ good, bad, badBytes int }

// checkMixture publishes bad messages among good ones and checks that exactly the good ones arrive, once.
func (r *run) checkMixture(publish func(*run) *mixture) {
	m := publish(r)
	r.settle()
	res := r.finish(0)
	written := r.written()
	for number, times := range written {
		assert.True(r.t, r.accepted[number], "message %d is bad, and arrived", number)
		assert.Equal(r.t, 1, times, "message %d", number)
	}
	assert.Zero(r.t, res.lost, "lost")
	assert.Equal(r.t, m.good, res.messages)
	r.t.Logf("%d good messages among %d bad ones of %d bytes: lost %d, arrived %d", m.good, m.bad, m.badBytes,
		res.lost, len(written))
}

// publishItems publishes lists that are half bad with calls of connect.publish, and checks what the server says of each
// message.
func (r *run) publishItems() *mixture {
	m := &mixture{}
	for m.badBytes < *badFlag {
		items, ids := make([]item, badList), make([]string, badList)
		for i := range items {
			if r.rand.IntN(2) == 0 {
				m.good++
				ids[i] = fmt.Sprintf("%s %d", r.id, r.next+1)
				items[i] = goodItem(r.rand, r.texts(1)[0], ids[i])
				continue
			}
			items[i] = badItem(r.rand, r.badText())
			m.bad++
			m.badBytes += len(items[i].text)
		}
		r.publishMixed(items)
	}
	return m
}

// badText returns the text of a message that the server is to refuse.
func (r *run) badText() string {
	r.next++
	return r.message(r.next)
}

// listed is what connect.publish says of a message.
type listed struct {
	Status string          `json:"status"`
	Error  string          `json:"error"`
	MsgID  json.RawMessage `json:"msg_id"`
}

// publishMixed publishes a list and checks the answer.
func (r *run) publishMixed(items []item) {
	r.t.Helper()
	texts := make([]string, len(items))
	for i, it := range items {
		texts[i] = it.text
	}
	request := fmt.Sprintf(`{"topic_name": %q, "messages": [%s]}`, r.topic, strings.Join(texts, ","))
	data, err := r.clients[0].Invoke(r.t.Context(), "connect.publish", json.RawMessage(request))
	require.NoError(r.t, err)
	var answer struct {
		Messages []listed `json:"messages"`
	}
	require.NoError(r.t, json.Unmarshal(data, &answer))
	require.Len(r.t, answer.Messages, len(items))
	for i, got := range answer.Messages {
		expected := listed{Status: "refused", Error: items[i].refusal}
		if items[i].refusal == "" {
			expected.Status = "published"
		}
		assert.Equal(r.t, expected, listed{got.Status, got.Error, nil}, "message %d of the list: %s", i, items[i].text)
		var id string
		if json.Unmarshal(member(items[i].text, "msg_id"), &id) == nil && id != "" {
			assert.JSONEq(r.t, quote(id), string(got.MsgID), "message %d of the list: %s", i, items[i].text)
		}
	}
}

// member returns a field of an object, or nil.
func member(text, name string) json.RawMessage {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &fields) // an item need not be an object
	return fields[name]
}
