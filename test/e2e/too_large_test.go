package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/internal/testkit/limitproxy"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// tooLarge is how the error of a message begins that a proxy refuses.
const tooLarge = "the request is larger than the server or a proxy in front of it accepts: "

// largeMessage does not pass limitedURL.
var largeMessage = `{"customer_id":1,"x":"` + strings.Repeat("x", 20_000) + `"}`

// limitedURL returns the address of a proxy in front of a server that accepts frames of up to
// 10,000 bytes.
func limitedURL(t *testing.T, server *wsxtest.Server) string {
	t.Helper()
	return "ws://" + limitproxy.Start(t, server.Addr(), 10_000) + "/bridge"
}

func TestKafkaToZatoWritesRecordsThatAreTooLargeForAProxyToTheDeadLetters(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *wsxtest.Server{
		"lists":        func(t *testing.T) *wsxtest.Server { t.Helper(); return startZato(t) },
		"single calls": startPatched,
	} {
		t.Run(name, func(t *testing.T) {
			broker, server := kafkatest.Start(t), start(t)
			broker.CreateTopics(1, "orders", "dead")
			kafkatest.Produce(t, broker.Client(), record("orders", "a", "1"), record("orders", "b", largeMessage),
				record("orders", "c", "2"))
			startBridge(t, "kafka-to-zato.yaml", append(zatoEnv(server), "ZATO_WSX_ADDRESS="+limitedURL(t, server),
				"KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "DEAD_LETTER_TOPIC=dead")...)
			assert.Equal(t, []string{"1", "2"}, awaitPublished(t, server, "/in", 2))
			dead := consume(t, broker.Client(kgo.ConsumeTopics("dead")), 1)[0]
			assert.Equal(t, largeMessage, string(dead.Value))
			assert.Contains(t, header(dead, "dead_letter_reason"), `publishing to topic "/in": `+tooLarge)
			eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == 3 }, "not all committed")
		})
	}
}

func TestFileToZatoSetsAsideRecordsThatAreTooLargeForAProxy(t *testing.T) {
	server, dir, aside := startZato(t), t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "a.jsonl")
	writeFile(t, path, "1\n"+largeMessage+"\n2\n")
	failFileToZato(t, append(zatoEnv(server), "ZATO_WSX_ADDRESS="+limitedURL(t, server), "TOPIC=/in", "FILES="+path,
		"ASIDE="+aside, "PARALLEL=1"))
	letters := readDeadLetters(t, aside)
	require.Len(t, letters, 1)
	assert.Equal(t, largeMessage+"\n", letters[0].Content)
	assert.Contains(t, letters[0].Reason, tooLarge)
	assert.ElementsMatch(t, []string{"1", "2"}, awaitPublished(t, server, "/in", 2))
}

func TestZatoToZatoPutsAsideMessagesThatAreTooLargeForAProxy(t *testing.T) {
	from, to := startZato(t), startZato(t)
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	startBridge(t, "zato-to-zato.yaml",
		"FROM_ADDRESS="+from.URL("/bridge"), "FROM_USERNAME=bridge", "FROM_SECRET=s3cr3t", "FROM_TOPIC=/in",
		"TO_ADDRESS="+limitedURL(t, to), "TO_USERNAME=bridge", "TO_SECRET=s3cr3t", "TO_TOPIC=/out",
		"ASIDE="+aside)
	awaitSubscription(t, from)
	for _, content := range []string{"one", largeMessage, "two"} {
		publish(t, from, content)
	}
	assert.Equal(t, []string{"one", "two"}, awaitPublished(t, to, "/out", 2))
	line := awaitAside(t, aside, 1)[0]
	assert.Equal(t, largeMessage, line.Content)
	assert.Contains(t, line.Metadata["fallback_error"], tooLarge)
}

func TestEnrichByServicePutsAsideMessagesThatAreTooLargeForAProxy(t *testing.T) {
	server := startZato(t, wsxtest.WithService("customer.get", wsxtest.Echo))
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	startBridge(t, "enrich-by-service.yaml", append(zatoEnv(server), "ZATO_WSX_ADDRESS="+limitedURL(t, server),
		"FROM_TOPIC=/in", "TO_TOPIC=/out", "ASIDE="+aside)...)
	awaitSubscription(t, server)
	publish(t, server, largeMessage)
	publish(t, server, `{"customer_id":2}`)
	assert.Len(t, awaitPublished(t, server, "/out", 1), 1)
	line := awaitAside(t, aside, 1)[0]
	assert.Contains(t, line.Content, `"customer_from":"service"`)
	assert.Contains(t, line.Error, tooLarge)
}

func TestHTTPToServiceReturns413ForABodyThatIsTooLargeForAProxy(t *testing.T) {
	server, address := startZato(t, wsxtest.WithService("echo", wsxtest.Echo)), streamtest.FreeAddress(t)
	startBridge(t, "http-to-service.yaml", append(zatoEnv(server), "ZATO_WSX_ADDRESS="+limitedURL(t, server),
		"HTTP_ADDRESS="+address)...)
	post := func(body string) (status int) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/services/echo",
			strings.NewReader(body))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	eventually(t, func() bool { return post(`{"n":1}`) == http.StatusOK }, "no answer")
	assert.Equal(t, http.StatusRequestEntityTooLarge, post(largeMessage))
	assert.Equal(t, http.StatusOK, post(`{"n":1}`))
}
