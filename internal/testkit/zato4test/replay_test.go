package zato4test_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/zato4test"
)

// exchange is a request and its answer, recorded at a Zato 4.1 server.
type exchange struct {
	Name      string  `json:"name"`
	Direction string  `json:"direction"` // empty, or "Zato -> our endpoint"
	At        float64 `json:"at"`        // seconds after the first attempt to push
	Request   struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		User    string            `json:"user"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"request"`
	Status   int     `json:"status"`
	Response *string `json:"response"`
}

// recorded returns the exchanges whose names begin with any of the prefixes, in their order.
func recorded(t *testing.T, prefixes ...string) (out []*exchange) {
	t.Helper()
	file, err := os.Open("testdata/exchanges.jsonl")
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e := &exchange{}
		require.NoError(t, json.Unmarshal(lines.Bytes(), e))
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(e.Name, prefix) }) {
			out = append(out, e)
		}
	}
	require.NoError(t, lines.Err())
	require.NotEmpty(t, out)
	return out
}

// shortened matches the end of a body or an answer that the recording shortened.
var shortened = regexp.MustCompile(`\.\.\.(?:<(\d+) (?:chars|characters)>|([\d,]+)"\}?)$`)

// body returns the body of a request. It restores one that the recording shortened.
func (e *exchange) body() string {
	match := shortened.FindStringSubmatch(e.Request.Body)
	if match == nil {
		return strings.ReplaceAll(e.Request.Body, "\uFFFD", "\xff") // JSON cannot record bytes that are not UTF-8
	}
	size, _ := strconv.Atoi(strings.ReplaceAll(match[1]+match[2], ",", ""))
	start := strings.TrimSuffix(e.Request.Body, match[0])
	return start + strings.Repeat("x", size-len(start)-2) + `"}`
}

// send sends the request. The error is that of a connection that was cut.
func (e *exchange) send(t *testing.T, server *zato4test.Server) (int, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), e.Request.Method, server.URL()+e.Request.Path,
		strings.NewReader(e.body()))
	require.NoError(t, err)
	for name, value := range e.Request.Headers {
		request.Header.Set(name, value)
	}
	if request.Header.Get("Transfer-Encoding") == "chunked" {
		request.ContentLength = -1
	}
	if e.Request.User != "" {
		password := "secret"
		if strings.Contains(e.Name, "bad-password") {
			password = "wrong"
		}
		request.SetBasicAuth(e.Request.User, password)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// varying matches what differs from one run to the next.
var varying = []*regexp.Regexp{
	regexp.MustCompile(`\d{8}-\d{6}-\d{4}-[0-9a-f]{17}a?`),
	regexp.MustCompile(`sk[0-9a-f]{32}`),
	regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(\+00:00)?`),
	regexp.MustCompile(`(\d+ days, )?\d+:\d\d:\d\d\.\d{6}`),
}

// normalize replaces what differs from one run to the next, and removes the spaces between
// the tokens of JSON.
func normalize(text string) string {
	for _, pattern := range varying {
		text = pattern.ReplaceAllString(text, "VARYING")
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	dropPositions(value)
	compact, _ := json.Marshal(value)
	return string(compact)
}

// dropPositions replaces the positions of messages in the server's tables.
func dropPositions(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if name == "sequence_id" {
				v[name] = "VARYING"
			}
			dropPositions(v[name])
		}
	case []any:
		for _, item := range v {
			dropPositions(item)
		}
	}
}

// position matches the position of a message in an answer of the gateway, and sequenceID
// one in a request to it.
var (
	position   = regexp.MustCompile(`"sequence_id": ?(\d+)`)
	sequenceID = regexp.MustCompile(`\b\d+\b`)
)

// replay sends the exchanges and compares the answers. Before an exchange, it calls the
// function that has its name.
func replay(t *testing.T, server *zato4test.Server, exchanges []*exchange, before map[string]func()) {
	t.Helper()
	positions := map[string]string{} // what became of the recorded sequence_ids
	for _, e := range exchanges {
		if prepare := before[e.Name]; prepare != nil {
			prepare()
		}
		e.Request.Body = sequenceID.ReplaceAllStringFunc(e.Request.Body, func(id string) string {
			if replayed, ok := positions[id]; ok {
				return replayed
			}
			return id
		})
		status, answer, err := e.send(t, server)
		if e.Status == 0 {
			require.Error(t, err, "%s: the connection must be cut", e.Name)
			continue
		}
		require.NoError(t, err, e.Name)
		require.Equal(t, e.Status, status, "%s: %s", e.Name, answer)
		switch {
		case e.Response == nil:
		case shortened.MatchString(*e.Response):
			assertBegins(t, e, answer)
		default:
			assert.Equal(t, normalize(*e.Response), normalize(answer), e.Name)
			then, now := position.FindAllStringSubmatch(*e.Response, -1), position.FindAllStringSubmatch(answer, -1)
			for i := range min(len(then), len(now)) {
				positions[then[i][1]] = now[i][1]
			}
		}
	}
}

// data matches the content of a message in an answer, unless it is an object or a list.
var data = regexp.MustCompile(`"data": ("(?:[^"\\]|\\.)*"|[^"{\[\s,]+)`)

// assertBegins compares the order of the messages in the part of an answer that the
// recording kept.
func assertBegins(t *testing.T, e *exchange, answer string) {
	t.Helper()
	var whole struct {
		Messages []struct {
			Data json.RawMessage `json:"data"`
		} `json:"messages"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &whole))
	kept := data.FindAllStringSubmatch(*e.Response, -1)
	require.NotEmpty(t, kept, e.Name)
	for _, match := range kept {
		for len(whole.Messages) > 0 && strings.ContainsAny(string(whole.Messages[0].Data[:1]), "{[") {
			whole.Messages = whole.Messages[1:]
		}
		require.NotEmpty(t, whole.Messages, e.Name)
		assert.Equal(t, match[1], string(whole.Messages[0].Data), e.Name)
		whole.Messages = whole.Messages[1:]
	}
}
