package chaos_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/internal/testkit/tapproxy"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	topic = "/chaos"
	path  = "/chaos"
)

// world is a server, a bad network, and a pipeline that receives a topic:
//
//	server -> toxiproxy -> tap -> pipeline -> sink
type world struct {
	*wsxtest.Server

	t      *testing.T
	rand   *rand.Rand
	clean  *toxiproxy.Proxy // the network as it should be
	tap    *tapproxy.Tap
	sink   *sink
	log    logtest.Buffer
	yaml   string
	struck map[string]int // faults by kind

	// What is drawn for the whole of a run.
	journaled, responds, guaranteed, forgetful bool

	stream  *service.Stream
	stopped chan error
}

// newWorld makes a world that is as a seed says, and then as adapt says, and waits
// until its pipeline receives.
func newWorld(t *testing.T, seed uint64, adapt func(*world)) *world {
	t.Helper()
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), sink: newSink(), struck: map[string]int{},
	}
	w.journaled = w.rand.IntN(4) > 0
	w.responds = w.rand.IntN(4) == 0
	w.guaranteed = w.rand.IntN(5) > 0
	w.forgetful = w.rand.IntN(5) == 0
	adapt(w)
	options := []wsxtest.Option{
		wsxtest.WithChannel(wsxtest.Channel{
			Path: path, PingInterval: 200 * time.Millisecond, PongWait: 100 * time.Millisecond,
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topic, GuaranteedDelivery: w.guaranteed}),
		wsxtest.WithDeliveryInterval(10 * time.Millisecond),
		wsxtest.WithTakeoverDelay(time.Duration(w.rand.IntN(50)) * time.Millisecond),
		wsxtest.WithDuplicates(w.rand.IntN(2) == 0),
		wsxtest.WithResumeDelay(time.Duration(w.rand.IntN(20)) * time.Millisecond),
	}
	if w.rand.IntN(2) == 0 {
		options = append(options, wsxtest.WithPushBeforeResponse())
	}
	w.Server = wsxtest.NewServer(options...)
	require.NoError(t, w.Start())
	t.Cleanup(w.Close)
	w.clean = w.newProxy()
	w.tap = tapproxy.New(t, w.clean.Listen)
	w.yaml = w.config(t.TempDir())
	w.begin()
	// A subscription whose answer is lost stays at the server, unknown to anybody
	// (docs/adr/0004-what-a-lost-answer-means.md), so the first one is let be.
	require.Eventually(t, w.subscribed, streamtest.Limit, time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(w.log.String(), "Input type zato_wsx is now active") },
		streamtest.Limit, time.Millisecond)
	t.Cleanup(func() {
		if w.stream != nil {
			w.end()
		}
		if t.Failed() {
			t.Logf("seed %d, faults %v, log:\n%s", seed, w.struck, tail(w.log.String()))
		}
	})
	return w
}

func (w *world) config(dir string) string {
	fields := []string{
		fmt.Sprintf("connection: { address: 'ws://%s%s', timeout: 2s, "+
			"backoff: { initial_interval: 5ms, max_interval: 50ms } }", w.tap.Address(), path),
		"topics: [ " + topic + " ]", "cache: keys", "metadata: all",
	}
	if w.journaled {
		fields = append(fields, fmt.Sprintf("journal: { path: %q }", filepath.Join(dir, "journal")))
	}
	if w.responds {
		fields = append(fields, "respond_to_messages: true")
	}
	return fmt.Sprintf("input: { zato_wsx: { %s } }\noutput: { sink: {} }\n"+
		"cache_resources: [ { label: keys, file: { directory: %q } } ]\n", strings.Join(fields, ", "), dir)
}

// newProxy makes a proxy in front of the server.
func (w *world) newProxy() *toxiproxy.Proxy {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "network", "127.0.0.1:0", w.Addr())
	require.NoError(w.t, proxy.Start())
	w.t.Cleanup(proxy.Stop)
	return proxy
}

// subscribed tells whether the pipeline has a subscription.
func (w *world) subscribed() bool {
	for _, sub := range w.Subscriptions() {
		if sub.Attached {
			return true
		}
	}
	return false
}

// begin starts a pipeline.
func (w *world) begin() {
	env := service.NewEnvironment()
	require.NoError(w.t, env.RegisterBatchOutput("sink", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return w.sink, service.BatchPolicy{}, 1, nil
		}))
	b := env.NewStreamBuilder()
	require.NoError(w.t, b.SetYAML(w.yaml))
	b.SetLogger(slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	stream, err := b.Build()
	require.NoError(w.t, err)
	w.stream, w.stopped = stream, make(chan error, 1)
	stopped := w.stopped
	go func() { stopped <- stream.Run(context.WithoutCancel(w.t.Context())) }()
}

// end stops the pipeline as a signal does.
func (w *world) end() {
	require.NoError(w.t, w.stream.StopWithin(streamtest.Limit))
	<-w.stopped
	w.stream = nil
}

// publish publishes n messages of random urgency and size.
func (w *world) publish(n int) { w.publishFrom(w.rand, n) }

func (w *world) publishFrom(random *rand.Rand, n int) {
	for range n {
		text := strings.Repeat("x", 1+random.IntN(2000))
		_, err := w.Publish(topic, text, wsxtest.PublishOptions{Priority: 1 + random.IntN(9)})
		assert.NoError(w.t, err)
	}
}

// pause waits a random time below d.
func (w *world) pause(d time.Duration) {
	<-time.After(time.Duration(w.rand.Int64N(int64(d))))
}

// heal ends all faults.
func (w *world) heal() {
	w.RefuseLogins(0)
	w.tap.Redirect(w.clean.Listen)
	w.Cut() // what goes through a broken network
	w.sink.change(0, 0)
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-20_000):] }
