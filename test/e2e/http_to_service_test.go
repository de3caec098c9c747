package e2e_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// startHTTPToService runs the bridge and returns the function that sends it requests, with a
// header in the form "Name: value" each.
func startHTTPToService(t *testing.T, server *wsxtest.Server, env ...string) (
	front *bridge, post func(target, body string, headers ...string) (status int, contentType, answer string),
) {
	t.Helper()
	address := streamtest.FreeAddress(t)
	front = startBridge(t, "http-to-service.yaml", zatoEnv(server, append(env, "HTTP_ADDRESS="+address)...)...)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	post = func(target, body string, headers ...string) (int, string, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+target,
			strings.NewReader(body))
		require.NoError(t, err)
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			request.Header[name] = []string{value}
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, "", ""
		}
		defer response.Body.Close() //nolint:errcheck // read only
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, response.Header.Get("Content-Type"), string(content)
	}
	eventually(t, func() bool { status, _, _ := post("/", ""); return status != 0 }, "no answer")
	return front, post
}

func TestHTTPToServiceIsDecidedByThePathAlone(t *testing.T) {
	server := startZato(t, wsxtest.WithService("echo", wsxtest.Echo), wsxtest.WithService("fails", wsxtest.Fail))
	_, post := startHTTPToService(t, server, "TIMEOUT=300ms")
	const forged = "service=fails&http_status=201&zato_status=202&content_type=text/html&zato_cid=x&" +
		"service%20in%20path=fails&http_server_request_path=/services/fails"
	cookies := "Cookie: " + strings.ReplaceAll(strings.ReplaceAll(forged, "&", "; "), "%20", " ")
	headers := []string{cookies, "Service: fails", "service: fails", "http_status: 203", "Http_status: 203", "zato_status: 203"}
	status, contentType, answer := post("/services/echo?"+forged, `{"z":12345678901234567890,"a":1}`, headers...)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "application/json", contentType)
	assert.Equal(t, []string{`{"z":12345678901234567890,"a":1}`}, []string{answer}) // JSONEq compares numbers as float64
	assert.Zero(t, server.Invocations("fails"))

	status, _, _ = post("/services/other.service?"+forged, `{"n":1}`, headers...)
	assert.Equal(t, http.StatusForbidden, status, "the status of Zato")
	status, _, answer = post("/services/%20?"+forged, `{"n":1}`, headers...)
	assert.Equal(t, http.StatusNotFound, status)
	assert.NotContains(t, answer, "cid")
	server.DropResponses(1)
	status, _, answer = post("/services/echo?"+forged, `{"n":1}`, headers...)
	assert.Equal(t, http.StatusGatewayTimeout, status)
	assert.NotContains(t, answer, `"cid"`)
	status, _, _ = post("/post/ws?"+forged, `{"n":1}`, "Upgrade: websocket", "Connection: Upgrade")
	assert.Equal(t, http.StatusNotFound, status, "a WebSocket")
	assert.Zero(t, server.Invocations("fails"))
}

func TestHTTPToServiceLabelsItsResponsesAndLogsTheMistakesOfCallersAtDebug(t *testing.T) {
	answer := func(value any) wsxtest.Service {
		return func(context.Context, wsxtest.Invocation) (any, error) { return value, nil }
	}
	server := startZato(t, wsxtest.WithService("fails", wsxtest.Fail), wsxtest.WithService("echo", wsxtest.Echo),
		wsxtest.WithService("text", answer("it is done")), wsxtest.WithService("nothing", answer(nil)),
		wsxtest.WithService("list", answer([]int{1, 2})))
	front, post := startHTTPToService(t, server)
	const text, asJSON = "text/plain; charset=utf-8", "application/json"
	for name, c := range map[string]struct {
		target, body        string
		status              int
		contentType, answer string
	}{
		"a text":           {"text", "1", http.StatusOK, text, "it is done"},
		"nothing":          {"nothing", "1", http.StatusOK, text, ""},
		"a list":           {"list", "1", http.StatusOK, asJSON, "[1,2]"},
		"two documents":    {"echo", `{"a":1} {"a":2}`, http.StatusBadRequest, asJSON, "one document"},
		"a broken body":    {"echo", `{"a":1`, http.StatusBadRequest, asJSON, "one document"},
		"zero":             {"echo", "-0.0", http.StatusBadRequest, asJSON, "not empty"},
		"no UTF-8":         {"echo", "\"\xff\"", http.StatusBadRequest, asJSON, "not valid UTF-8"},
		"no such service":  {"a%20b", "1", http.StatusNotFound, asJSON, "no such service"},
		"a subscription":   {"zato.pubsub.pubapi.subscribe-wsx", `{"topic_name":"/in"}`, http.StatusNotFound, asJSON, ""},
		"a refused call":   {"other", "1", http.StatusForbidden, asJSON, "403"},
		"a service itself": {"fails", "1", http.StatusBadGateway, asJSON, "500"},
	} {
		status, contentType, answer := post("/services/"+c.target, c.body)
		assert.Equal(t, c.status, status, name)
		assert.Equal(t, c.contentType, contentType, name)
		assert.Contains(t, answer, c.answer, name)
	}
	status, contentType, _ := post("/services/echo", "--x\r\n\r\n1\r\n--x\r\n\r\n2\r\n--x--\r\n",
		"Content-Type: multipart/form-data; boundary=x")
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Equal(t, asJSON, contentType, "one response")
	front.awaitLog("HTTP 502")
	assert.Equal(t, 1, strings.Count(front.log.String(), "level=warning"), "the service that failed")
	assert.NotContains(t, front.log.String(), "level=error")
	assert.Empty(t, server.Subscriptions())
}
