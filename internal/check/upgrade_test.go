package check_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/check"
	"github.com/zato-connect/zato-connect/internal/testkit/zato4test"
	"github.com/zato-connect/zato-connect/wsx"
)

func TestEachStatusOfAProxyHasItsRemedy(t *testing.T) {
	for status, remedy := range map[int]string{
		200: "the path in connection.address",
		301: "probably wss://zato.example.com and its path",
		400: "make the proxy pass the headers Upgrade and Connection on",
		401: "set the credentials that the proxy expects in connection.headers",
		403: "check the proxy's access rules",
		404: "the path in connection.address",
		407: "set the credentials that the proxy expects in connection.headers",
		408: "check that the Zato server behind the proxy is running",
		429: "raise the proxy's limit",
		500: "the path in connection.address",
		502: "check that the Zato server behind the proxy is running",
		503: "check that the Zato server behind the proxy is running",
		504: "check that the Zato server behind the proxy is running",
		522: "check that the Zato server behind the proxy is running",
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://user:s3cr3t@zato.example.com/x?token=s3cr3t")
				w.WriteHeader(status)
			}))
			defer proxy.Close()
			result := openFails(t, proxy.URL, time.Minute)
			assert.Contains(t, result.Detail, "HTTP "+strconv.Itoa(status))
			assert.Contains(t, result.Remedy, remedy)
			assert.NotContains(t, result.Detail+result.Remedy, "s3cr3t")
		})
	}
}

func TestZato4IsRecognizedByItsInterfaceForPubSub(t *testing.T) {
	server := zato4test.Start(t)
	result := openFails(t, server.URL()+"/my.wsx", time.Minute)
	assert.Equal(t, "this is Zato 4, which has no WebSocket channels", result.Detail)
	assert.Contains(t, result.Remedy, "docs/zato-4.md")
}

func TestSilenceIsReportedWithItsDuration(t *testing.T) {
	ended := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	defer silent.Close()
	defer close(ended)
	result := openFails(t, silent.URL, 200*time.Millisecond)
	assert.Equal(t, "no answer within connection.timeout (200ms)", result.Detail)
	assert.Contains(t, result.Remedy, "one behind a proxy")
}

// openFails opens a connection and returns the result of the upgrade, which must be the
// step that fails.
func openFails(t *testing.T, url string, timeout time.Duration) check.Result {
	t.Helper()
	client, results := check.Open(t.Context(), wsx.Config{
		Address: strings.Replace(url, "http:", "ws:", 1), Timeout: timeout,
	})
	require.Nil(t, client)
	require.Len(t, results, 4)
	assert.Equal(t, check.OK, results[1].Outcome)
	assert.Equal(t, "upgrade", results[2].Check)
	assert.Equal(t, check.Failed, results[2].Outcome)
	assert.Equal(t, check.NotTested, results[3].Outcome)
	return results[2]
}
