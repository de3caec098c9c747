package processor_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/limitproxy"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// limitedCaller is a caller behind a proxy that accepts frames of up to 10,000 bytes.
func limitedCaller(t *testing.T, server *wsxtest.Server, path string, fields ...string) string {
	t.Helper()
	proxy := limitproxy.Start(t, server.Addr(), 10_000)
	return strings.NewReplacer(server.Addr(), proxy, "max_interval: 50ms", "initial_interval: 10ms").
		Replace(caller(server, path, append(fields, echo)...))
}

func TestMessageThatIsTooLargeForAProxyFailsAlone(t *testing.T) {
	small, large, huge := strings.Repeat("s", 1000), strings.Repeat("l", 20_000), strings.Repeat("h", 16<<20)
	batch := []string{small, small, large, small, small, huge, small}
	for _, path := range []string{lists, gateway} {
		for _, retry := range []bool{false, true} {
			server := startServer(t)
			// A call that is repeated until its timeout outlasts the test.
			s := streamtest.Start(t, limitedCaller(t, server, path, "timeout: 1h", fmt.Sprintf("retry_lost: %t", retry)))
			s.Feed(batch...)
			name := fmt.Sprintf("%s, retry_lost: %t", path, retry)
			for i, msg := range s.Next() {
				if i != 2 && i != 5 {
					require.NoError(t, msg.GetError(), name)
					continue
				}
				require.ErrorContains(t, msg.GetError(), `invoking "my.echo": the request is larger than the server or a `+
					"proxy in front of it accepts: the server closed the connection: 1009", name)
				require.ErrorIs(t, msg.GetError(), wsx.ErrRequestTooLarge)
				content, err := msg.AsBytes()
				require.NoError(t, err)
				assert.True(t, string(content) == batch[i], name) //nolint:testifylint // Equal would print megabytes
			}
			assert.Equal(t, 5, server.Invocations("my.echo"), name)
		}
	}
}

func TestListThatIsTooLargeForAProxyIsDivided(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, limitedCaller(t, server, lists, "rate_limit: twenty")+
		"\n  - { label: twenty, local: { count: 20, interval: 1h } }")
	var batch []string
	for n := range 20 {
		batch = append(batch, strings.Repeat(string(rune('a'+n)), 1000))
	}
	s.Feed(batch...)
	assert.Equal(t, batch, streamtest.Texts(t, s.Next()))
	assert.Equal(t, 20, server.Invocations("my.echo"))
	assert.NotEmpty(t, listsSent(t, server))
}
