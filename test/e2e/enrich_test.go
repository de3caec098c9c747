package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// asideLine is a line of the file to which a bridge puts messages aside.
type asideLine struct {
	Error    string         `json:"error"`
	Content  string         `json:"content"`
	Metadata map[string]any `json:"metadata"`
}

// awaitAside waits until a file has n lines and returns them.
func awaitAside(t *testing.T, path string, n int) []asideLine {
	t.Helper()
	var lines []string
	eventually(t, func() bool {
		text, err := os.ReadFile(path)
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return err == nil && strings.HasSuffix(string(text), "\n") && len(lines) >= n
	}, "not put aside")
	require.Len(t, lines, n)
	out := make([]asideLine, n)
	for i, line := range lines {
		require.NoError(t, json.Unmarshal([]byte(line), &out[i]), line)
	}
	return out
}

func TestEnrichByServicePutsAsideWhatItCannotEnrich(t *testing.T) {
	server := startZato(t, wsxtest.WithService("customer.get", wsxtest.Echo))
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out", "ASIDE="+aside)
	b := startBridge(t, "enrich-by-service.yaml", env...)
	awaitSubscription(t, server)
	contents := []string{
		"order 4711 cancelled", `{"customer_id":1} {"customer_id":2}`, `[{"customer_id":3}]`, "0123", "null",
	}
	for _, content := range contents {
		publish(t, server, content)
	}
	publish(t, server, `{"customer_id":18446744073709551617}`)
	assert.Equal(t, []string{ // JSONEq compares numbers as float64
		`{"customer":{"id":18446744073709551617},"customer_from":"service","customer_id":18446744073709551617}`,
	}, awaitPublished(t, server, "/out", 1))
	for i, line := range awaitAside(t, aside, len(contents)) {
		assert.Equal(t, contents[i], line.Content)
		assert.Contains(t, line.Error, "the message is not a JSON object")
		assert.Equal(t, server.Published()[i].ID, line.Metadata["zato_msg_id"])
		eventually(t, func() bool {
			return strings.Contains(b.log.String(), "not a JSON object: zato_msg_id "+server.Published()[i].ID)
		}, "not logged with its id")
	}
	assert.Len(t, awaitPublished(t, server, "/out", 1), 1)
}

func TestEnrichByServiceUsesTheLastKnownResponseIfTheServiceReturnsNoObject(t *testing.T) {
	var answer atomic.Pointer[any]
	respond := func(value any) { answer.Store(&value) }
	server := startZato(t, wsxtest.WithService("customer.get",
		func(context.Context, wsxtest.Invocation) (any, error) { return *answer.Load(), nil }))
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out", "CACHE_TTL=1ns")
	startBridge(t, "enrich-by-service.yaml", env...)
	awaitSubscription(t, server)
	respond(map[string]string{"name": "Anna"})
	publish(t, server, `{"customer_id":1}`)
	assert.Contains(t, awaitPublished(t, server, "/out", 1)[0], `"customer_from":"service"`)
	for n, value := range []any{"no such customer", nil, []int{1}, 7} {
		respond(value)
		publish(t, server, `{"customer_id":1}`)
		assert.JSONEq(t, `{"customer_id":1,"customer":{"name":"Anna"},"customer_from":"memory"}`,
			awaitPublished(t, server, "/out", n+2)[n+1])
	}
	publish(t, server, `{"customer_id":2}`)
	assert.Contains(t, awaitPublished(t, server, "/out", 6)[5], "the service returned no object")
}

func TestEnrichByServiceKeepsTheOrderOfTheMessages(t *testing.T) {
	var called atomic.Int32
	server := startZato(t, wsxtest.WithService("customer.get",
		func(ctx context.Context, _ wsxtest.Invocation) (any, error) {
			select { // later calls are faster than earlier ones
			case <-time.After(time.Duration(10-called.Add(1)%10) * time.Millisecond):
			case <-ctx.Done():
			}
			return map[string]string{"name": "Anna"}, nil
		}))
	env := zatoEnv(server, "FROM_TOPIC=/in", "TO_TOPIC=/out")
	startBridge(t, "enrich-by-service.yaml", env...)
	awaitSubscription(t, server)
	const count = 300
	for n := range count {
		publish(t, server, fmt.Sprintf(`{"customer_id":%d}`, n))
		if n%10 == 0 {
			awaitPublished(t, server, "/out", n-40) // so there are many batches, and several at a time
		}
	}
	for n, content := range awaitPublished(t, server, "/out", count) {
		require.Contains(t, content, fmt.Sprintf(`"customer_id":%d}`, n))
	}
}
