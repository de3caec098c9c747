//go:build unix

package zato_test

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// heldInputs is the number of inputs behind a proxy that holds their connections.
const heldInputs = 4

// maxDeafTime is how much longer than an input without the proxy the others may receive nothing.
const maxDeafTime = 10 * time.Second

// heldConfig is the configuration of a process with several inputs. Its argument is theirs.
const heldConfig = `
http: { enabled: false }
shutdown_timeout: 5s
input:
  broker:
    inputs:%s
output:
  file: { path: lines.jsonl, codec: lines }
`

// heldInput is the configuration of one of the inputs. Its arguments are the address, the username, the topic, the
// other fields, the id of the run and the number of the input.
const heldInput = `
      - zato_wsx:
          connection: { address: %q, username: %q, secret_env: ZATO_WSX_SECRET }
          topics: [ %q ]
          %s
        processors:
          - mapping: |
              let m = content().parse_json().catch({})
              root = if $m.run.or("") == %q {
                { "id": @zato_msg_id, "number": $m.number, "took": timestamp_unix_nano() - $m.at, "input": %d }
              } else {
                deleted()
              }
`

// heldRows returns how the inputs receive, by gateway and a name of the kind.
func heldRows() []*row {
	return []*row{
		{gateway: "stock", input: "pushed", fields: pushedFields},
		{gateway: "patched", input: "pushed, durable", fields: "cache: keys\ncache_prefix: NAME"},
		{gateway: "connect", input: "pushed, durable", fields: "cache: keys\ncache_prefix: NAME"},
		{gateway: "connect", input: "fetched", fields: "subscription: NAME"},
	}
}

// held is a run of inputs behind a proxy that hangs up on them and keeps the connections to the server.
type held struct {
	t         *testing.T
	proxy     *proxy
	publisher *publisher
	consumer  *consumer
	seen      int // lines of the consumer
}

// newHeld starts the inputs and waits until each has received a message.
func newHeld(t *testing.T, tgt *target, rw *row) *held {
	t.Helper()
	address, err := url.Parse(tgt.addresses[rw.gateway])
	require.NoError(t, err)
	topic, id := tgt.newTopic(t), fmt.Sprintf("held-%x", time.Now().UnixNano())
	h := &held{t: t, proxy: newProxy(t, address.Host), publisher: newPublisher(t, tgt, address.String(), topic, id)}
	h.publisher.clients = h.publisher.clients[:1]
	h.publisher.pause = 300 * time.Millisecond
	var inputs strings.Builder
	for i := range heldInputs + 1 {
		if i == 1 { // the first one does without the proxy
			address.Host = h.proxy.address()
		}
		fields := strings.NewReplacer("\n", "\n          ", "NAME", fmt.Sprintf("%s-%d", id, i)).Replace(rw.fields)
		fmt.Fprintf(&inputs, heldInput, address, tgt.username, topic, fields, id, i)
	}
	config := fmt.Sprintf(heldConfig, inputs.String()) +
		fmt.Sprintf("cache_resources: [ { label: keys, file: { directory: %q } } ]\n", t.TempDir())
	h.consumer = startConsumer(t, config, tgt.secret)
	heard := map[int]bool{}
	for began := time.Now(); len(heard) <= heldInputs; {
		for _, l := range h.publish() {
			heard[l.Input] = true
		}
		require.Less(t, time.Since(began), 2*eventTimeout, "only inputs %v receive something:\n%s", heard, &h.consumer.log)
	}
	return h
}

// publish publishes a message and returns the lines that were written since the last call.
func (h *held) publish() []line {
	h.publisher.publish(1, 1, func() {})
	h.consumer.read()
	lines := h.consumer.lines[h.seen:]
	h.seen = len(h.consumer.lines)
	return lines
}

// hangUp lets the proxy hang up on the inputs, and publishes for a time. It returns the longest time for which each
// input received nothing.
func (h *held) hangUp(during time.Duration) []time.Duration {
	longest, last := make([]time.Duration, heldInputs+1), make([]time.Time, heldInputs+1)
	began := time.Now()
	for i := range last {
		last[i] = began
	}
	heard := func(input int) {
		longest[input] = max(longest[input], time.Since(last[input]))
		last[input] = time.Now()
	}
	h.proxy.hangUp()
	for time.Since(began) < during {
		for _, l := range h.publish() {
			heard(l.Input)
		}
	}
	for i := range last {
		heard(i)
	}
	return longest
}

// requireHeard lets the proxy hang up several times, and requires that no input is deaf for long.
func (h *held) requireHeard(rounds int, during time.Duration) {
	for range rounds {
		longest := h.hangUp(during)
		slices.Sort(longest[1:])
		h.t.Logf("received nothing for at most %.1f s behind the proxy, and %.1f s without it", seconds(longest[1:]),
			longest[0].Seconds())
		assert.LessOrEqual(h.t, longest[heldInputs]-longest[0], maxDeafTime)
	}
	h.t.Logf("lines that say that nothing was delivered: %d", strings.Count(h.consumer.log.String(), "no longer delivers"))
}

func seconds(durations []time.Duration) (out []float64) {
	for _, d := range durations {
		out = append(out, d.Seconds())
	}
	return out
}

func TestServerNamedByTheEnvironmentIsHeardAgainBehindAProxyThatHoldsConnections(t *testing.T) {
	tgt := environmentTarget(t)
	for gateway, variable := range map[string]string{
		"connect": "ZATO_WSX_ADDRESS_CONNECT_SHORT", "stock": "ZATO_WSX_ADDRESS_STOCK_SHORT",
		"patched": "ZATO_WSX_ADDRESS_SHORT",
	} {
		tgt.addresses[gateway] = os.Getenv(variable)
	}
	for _, rw := range heldRows() {
		t.Run(rw.gateway+", "+rw.input, func(t *testing.T) {
			if tgt.addresses[rw.gateway] == "" || !strings.Contains(rw.gateway+", "+rw.input, *onlyFlag) {
				t.Skip("no address of this gateway, or not among -zato.only")
			}
			newHeld(t, tgt, rw).requireHeard(5, 30*time.Second)
		})
	}
}

func TestSimulatorIsHeardAgainBehindAProxyThatHoldsConnections(t *testing.T) {
	t.Parallel()
	options := []wsxtest.Option{wsxtest.WithTopic(wsxtest.Topic{Name: "/gd", GuaranteedDelivery: true})}
	for path, gateway := range map[string]wsxtest.Gateway{
		"/stock": wsxtest.Stock, "/patched": wsxtest.Patched, "/connect": wsxtest.Connect,
	} {
		options = append(options, wsxtest.WithChannel(wsxtest.Channel{
			Path: path, Username: "user1", Secret: "secret1", Gateway: gateway,
			PingInterval: time.Second, PongWait: time.Second,
		}))
	}
	for _, rw := range heldRows() {
		t.Run(rw.gateway+", "+rw.input, func(t *testing.T) {
			t.Parallel()
			server := wsxtest.NewServer(options...)
			require.NoError(t, server.Start())
			t.Cleanup(server.Close)
			tgt := &target{
				isSimulator: true, username: "user1", secret: "secret1",
				addresses: map[string]string{rw.gateway: server.URL("/" + rw.gateway)},
				newTopic:  func(*testing.T) string { return "/gd" },
			}
			newHeld(t, tgt, rw).requireHeard(1, 16*time.Second)
		})
	}
}
