package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.String()
}

// gunzipped returns the content of a compressed file. It returns false if the file is not
// complete yet.
func gunzipped(t *testing.T, path string) (string, bool) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return "", false
	}
	content, err = io.ReadAll(r)
	return string(content), err == nil
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func TestEveryExampleHasATestWithoutAServer(t *testing.T) {
	out, err := command(t, time.Minute, nil, "test", "./examples/...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, example := range exampleConfigs(t) {
		switch filepath.Base(example) {
		case "quickstart.yaml", "answer-requests.yaml", "tracing.yaml": // other tests run them with their own server
		default:
			assert.Contains(t, string(out), example+"' succeeded")
		}
	}
}

func TestFileToZatoDetectsTheFormatByTheFileName(t *testing.T) {
	server, dir := startZato(t), t.TempDir()
	for name, content := range map[string]string{
		"a.csv":      "id,name\n1,Anna\n",
		"b.csv.gz":   gzipped(t, "id,name\n2,Bob\n"),
		"c.json":     `{"id": "3"}` + "\n" + `{"id": "4"}`,
		"d.json.gz":  gzipped(t, `{"id":"5"}`),
		"e.jsonl":    `{"id":  "6"}` + "\n\n" + `{"id":  "7"}` + "\n",
		"f.jsonl.gz": gzipped(t, "zażółć"),
		"g.txt":      "jaźń",
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	job := startBridge(t, "file-to-zato.yaml", zatoEnv(server, "TOPIC=/in", "FILES="+dir+"/*", "PARALLEL=1")...)
	require.NoError(t, job.awaitExit(), "%s", job.log.String())
	assert.Equal(t, []string{
		`{"id":"1","name":"Anna"}`, `{"id":"2","name":"Bob"}`, `{"id":"3"}`, `{"id":"4"}`, `{"id":"5"}`,
		`{"id":  "6"}`, `{"id":  "7"}`, "zażółć", "jaźń",
	}, awaitPublished(t, server, "/in", 9))
}

func TestFolderToZatoPublishesNewFilesAndDeletesThem(t *testing.T) {
	server, inbox, aside := startZato(t), t.TempDir(), t.TempDir()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+inbox, "ASIDE="+aside, "PARALLEL=1", "POLL_INTERVAL=10ms")
	startBridge(t, "folder-to-zato.yaml", env...)
	drop := func(name, content string) {
		path := filepath.Join(inbox, name)
		writeFile(t, path+".part", content)
		require.NoError(t, os.Rename(path+".part", path))
		eventually(t, func() bool {
			_, err := os.Stat(path)
			return errors.Is(err, os.ErrNotExist)
		}, name+" is still there")
	}
	drop("one.jsonl", "1\n2\n")
	drop("two.csv.gz", gzipped(t, "id\n3\n"))
	drop("one.jsonl", "4\n") // a name that was used before
	assert.Equal(t, []string{"1", "2", `{"id":"3"}`, "4"}, awaitPublished(t, server, "/in", 4))

	server.CutBeforeResponse(1)
	drop("three.jsonl", "5\n6\n7\n")
	assert.Equal(t, []string{"5", "5", "6", "7"}, awaitPublished(t, server, "/in", 8)[4:], "the first got no response")

	drop("bad.jsonl", "8\n\xff\n9\n")
	assert.Equal(t, []string{"8", "9"}, awaitPublished(t, server, "/in", 10)[8:])
	put, err := os.ReadFile(filepath.Join(aside, "messages.jsonl"))
	require.NoError(t, err)
	assert.Contains(t, string(put), "data: is not valid UTF-8")
	assert.Contains(t, string(put), "bad.jsonl")

	broken := gzipped(t, strings.Repeat("x", 1000))[:20]
	drop("broken.jsonl.gz", broken)
	put, err = os.ReadFile(filepath.Join(aside, "broken.jsonl.gz"))
	require.NoError(t, err)
	assert.Equal(t, broken, string(put))
	assert.Len(t, awaitPublished(t, server, "/in", 10), 10)
}

// archivedLines returns the lines of the complete files under a folder and the number of
// these files.
func archivedLines(t *testing.T, folder string) (lines []string, files int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*", "*.jsonl.gz"))
	require.NoError(t, err)
	for _, file := range found {
		if content, whole := gunzipped(t, file); whole {
			lines = append(lines, strings.Split(strings.TrimSuffix(content, "\n"), "\n")...)
			files++
		}
	}
	return lines, files
}

func TestZatoToFilesLosesNothingWhenKilled(t *testing.T) {
	server, outbox := startZato(t), t.TempDir()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+outbox)
	first := startBridge(t, "zato-to-files.yaml", append(env, "COUNT=10", "PERIOD=1h")...)
	awaitSubscription(t, server)
	for n := range 25 {
		publish(t, server, `{"n":`+strconv.Itoa(n)+`}`)
		if n == 9 || n == 19 {
			eventually(t, func() bool { _, files := archivedLines(t, outbox); return files == n/9 }, "a file of ten lines")
		}
	}
	awaitFetched(t, server, 5)
	first.kill()

	publish(t, server, `{"n":25}`)
	second := startBridge(t, "zato-to-files.yaml", append(env, "COUNT=10", "PERIOD=50ms")...)
	unique := map[string]bool{}
	eventually(t, func() bool {
		lines, _ := archivedLines(t, outbox)
		for _, line := range lines {
			var m struct {
				ID   string         `json:"msg_id"`
				Data map[string]int `json:"data"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &m), line)
			require.NotEmpty(t, m.ID)
			unique[strconv.Itoa(m.Data["n"])] = true
		}
		return len(unique) == 26
	}, "not all messages are in files")
	second.stop()
	assert.Len(t, server.Subscriptions(), 1, "the subscription must be kept for the next start")
}

func TestEnrichByServiceAddsTheResultOfTheService(t *testing.T) {
	var down atomic.Bool
	server := startZato(t, wsxtest.WithService("customer.get",
		func(_ context.Context, inv wsxtest.Invocation) (any, error) {
			if down.Load() {
				return nil, errors.New("the database is down")
			}
			var request struct {
				ID int `json:"id"`
			}
			err := json.Unmarshal(inv.Request, &request)
			return map[string]any{"name": "Customer " + strconv.Itoa(request.ID)}, err
		}))
	enriched := 0
	next := func() string {
		enriched++
		return awaitPublished(t, server, "/out", enriched)[enriched-1]
	}
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out")
	startBridge(t, "enrich-by-service.yaml", append(env, "CACHE_TTL=1h")...)
	awaitSubscription(t, server)
	const fresh = `{"customer_id":1,"order":1,"customer":{"name":"Customer 1"},"customer_from":"service"}`
	for range 3 {
		publish(t, server, `{"order":1,"customer_id":1}`)
		assert.JSONEq(t, fresh, next())
	}
	assert.Equal(t, 1, server.Invocations("customer.get"), "the others must come from the cache")

	down.Store(true)
	publish(t, server, `{"order":2,"customer_id":2}`)
	var incomplete map[string]any
	require.NoError(t, json.Unmarshal([]byte(next()), &incomplete))
	assert.Equal(t, "nowhere", incomplete["customer_from"])
	assert.Contains(t, incomplete["customer_error"], "the server answered 500")
	assert.NotContains(t, incomplete, "customer")

	down.Store(false)
	publish(t, server, `{"order":3,"customer_id":2}`)
	assert.JSONEq(t, `{"customer_id":2,"order":3,"customer":{"name":"Customer 2"},"customer_from":"service"}`, next())
}

func TestEnrichByServiceFallsBackToStaleResults(t *testing.T) {
	var silent atomic.Bool
	server := startZato(t, wsxtest.WithService("customer.get",
		func(ctx context.Context, _ wsxtest.Invocation) (any, error) {
			if silent.Load() {
				<-ctx.Done()
			}
			return map[string]string{"name": "Anna"}, nil
		}))
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out", "CACHE_TTL=1ns", "TIMEOUT=200ms")
	startBridge(t, "enrich-by-service.yaml", env...)
	awaitSubscription(t, server)
	publish(t, server, `{"customer_id":1}`)
	assert.JSONEq(t, `{"customer_id":1,"customer":{"name":"Anna"},"customer_from":"service"}`,
		awaitPublished(t, server, "/out", 1)[0])
	silent.Store(true)
	publish(t, server, `{"customer_id":1}`)
	assert.JSONEq(t, `{"customer_id":1,"customer":{"name":"Anna"},"customer_from":"memory"}`,
		awaitPublished(t, server, "/out", 2)[1])
}

func TestEnrichByServiceObeysItsRateLimit(t *testing.T) {
	server := startZato(t, wsxtest.WithService("customer.get", wsxtest.Echo))
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out")
	startBridge(t, "enrich-by-service.yaml", append(env, "CALLS=2", "CALLS_INTERVAL=200ms", "TIMEOUT=20s")...)
	awaitSubscription(t, server)
	began := time.Now()
	for id := 1; id <= 7; id++ {
		publish(t, server, `{"customer_id":`+strconv.Itoa(id)+`}`)
	}
	for _, content := range awaitPublished(t, server, "/out", 7) {
		assert.Contains(t, content, `"customer_from":"service"`)
	}
	assert.GreaterOrEqual(t, time.Since(began), 500*time.Millisecond, "seven calls, two in each 200 ms")
}

func TestZatoToZatoCopiesMetadataAndWaitsForTheOtherServer(t *testing.T) {
	from, to := startZato(t), startZato(t)
	env := []string{
		"FROM_ADDRESS=" + from.URL("/bridge"), "FROM_USERNAME=bridge", "FROM_SECRET=s3cr3t", "FROM_TOPIC=/in",
		"TO_ADDRESS=" + to.URL("/bridge"), "TO_USERNAME=bridge", "TO_SECRET=s3cr3t", "TO_TOPIC=/out",
	}
	first := startBridge(t, "zato-to-zato.yaml", env...)
	key := awaitSubscription(t, from)
	publish(t, from, `{"n": 1}`, wsxtest.PublishOptions{Priority: 8, CorrelID: "c-1", InReplyTo: "r-1", Expiration: 60})
	awaitPublished(t, to, "/out", 1)
	arrived := to.Published()[0]
	assert.Equal(t, []any{8, "c-1", true}, []any{arrived.Priority, arrived.CorrelID, arrived.GuaranteedDelivery})

	to.Stop()
	publish(t, from, "meanwhile")
	awaitFetched(t, from, 1)
	first.kill()
	require.NoError(t, to.Restart())
	publish(t, from, "while away")
	startBridge(t, "zato-to-zato.yaml", env...)
	assert.Equal(t, []string{`{"n": 1}`, "meanwhile", "while away"}, awaitPublished(t, to, "/out", 3))
	assert.Equal(t, key, awaitSubscription(t, from), "the same subscription")
}

func TestHTTPToServiceMapsErrorsToStatusCodes(t *testing.T) {
	server := startZato(t, wsxtest.WithService("echo", wsxtest.Echo), wsxtest.WithService("fails", wsxtest.Fail))
	address := streamtest.FreeAddress(t)
	front := startBridge(t, "http-to-service.yaml",
		zatoEnv(server, "HTTP_ADDRESS="+address, "TIMEOUT=300ms", "SERVICES=^[a-z]+$")...)
	post := func(service, body string) (int, map[string]any) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://"+address+"/services/"+service, strings.NewReader(body))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, nil
		}
		defer response.Body.Close() //nolint:errcheck // read only
		var answer map[string]any
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(content, &answer), "%s", content)
		assert.Equal(t, "application/json", response.Header.Get("Content-Type"))
		return response.StatusCode, answer
	}
	eventually(t, func() bool { status, _ := post("echo", `{"n": 0}`); return status == http.StatusOK }, "no answer")
	defer http.DefaultClient.CloseIdleConnections()

	for name, c := range map[string]struct {
		service, body string
		status        int
		answer        string
	}{
		"a result":                       {"echo", `{"n": 1}`, http.StatusOK, `"n":1`},
		"a service that fails":           {"fails", `{"n": 1}`, http.StatusBadGateway, `"cid":`},
		"a service that is not allowed":  {"other", `{"n": 1}`, http.StatusForbidden, `"error":`},
		"a service that is hidden":       {"zato.ping", `{"n": 1}`, http.StatusNotFound, "no such service"},
		"an empty body":                  {"echo", "", http.StatusBadRequest, "must be JSON"},
		"a body that is falsy in Python": {"echo", "[ ]", http.StatusBadRequest, "must be JSON"},
	} {
		status, answer := post(c.service, c.body)
		assert.Equal(t, c.status, status, name)
		content, err := json.Marshal(answer)
		require.NoError(t, err)
		assert.Contains(t, string(content), c.answer, name)
	}
	server.DropResponses(1)
	status, _ := post("echo", `{"n": 1}`)
	assert.Equal(t, http.StatusGatewayTimeout, status, "no answer within the time")
	server.Stop()
	front.awaitLog("connection ended")
	status, _ = post("echo", `{"n": 1}`)
	assert.Equal(t, http.StatusServiceUnavailable, status, "no connection")
}
