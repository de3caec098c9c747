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

// env is a server, a faulty network and a pipeline that receives a topic:
//
//	server -> toxiproxy -> tap -> pipeline -> sink
type env struct {
	*wsxtest.Server

	t          *testing.T
	rand       *rand.Rand
	cleanProxy *toxiproxy.Proxy // a network without faults
	tap        *tapproxy.Tap
	sink       *sink
	log        logtest.Buffer
	yaml       string
	injected   map[string]int // faults by kind

	gateway wsxtest.Gateway

	// Settings of the run, which the seed decides.
	journaled, respondsToMessages, guaranteed, dropsSubscriptions bool

	stream  *service.Stream
	stopped chan error
}

// newEnv starts an environment and waits until its pipeline receives. The seed decides
// the settings; configure may change them.
func newEnv(t *testing.T, gateway wsxtest.Gateway, seed uint64, configure func(*env)) *env {
	t.Helper()
	e := &env{
		t: t, gateway: gateway, rand: rand.New(rand.NewPCG(seed, 0)), sink: newSink(), injected: map[string]int{},
	}
	e.journaled = e.rand.IntN(4) > 0
	e.respondsToMessages = e.rand.IntN(4) == 0
	e.guaranteed = e.rand.IntN(5) > 0
	e.dropsSubscriptions = e.rand.IntN(5) == 0
	configure(e)
	pongWait := 100 * time.Millisecond
	if e.fetches() {
		e.journaled, e.respondsToMessages = false, false // only what is pushed
		pongWait = time.Second                           // the server reads no pong while a fetch waits
	}
	serverOptions := []wsxtest.Option{
		wsxtest.WithChannel(wsxtest.Channel{
			Path: path, Gateway: gateway, PingInterval: 200 * time.Millisecond, PongWait: pongWait,
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topic, GuaranteedDelivery: e.guaranteed}),
		wsxtest.WithDeliveryInterval(10 * time.Millisecond),
		wsxtest.WithTakeoverDelay(time.Duration(e.rand.IntN(50)) * time.Millisecond),
		wsxtest.WithDuplicates(e.rand.IntN(2) == 0),
		wsxtest.WithResumeDelay(time.Duration(e.rand.IntN(20)) * time.Millisecond),
	}
	if e.rand.IntN(2) == 0 {
		serverOptions = append(serverOptions, wsxtest.WithPushBeforeResponse())
	}
	if gateway == wsxtest.Patched { // otherwise the server loses what no pipeline could get
		serverOptions = append(serverOptions, wsxtest.WithReliableSubscriptions())
	} else {
		serverOptions = append(serverOptions,
			wsxtest.WithRegistrationDelay(time.Duration(e.rand.IntN(200))*time.Millisecond),
			wsxtest.WithCreationDelay(time.Duration(e.rand.IntN(50))*time.Millisecond))
	}
	e.Server = wsxtest.NewServer(serverOptions...)
	require.NoError(t, e.Start())
	t.Cleanup(e.Close)
	e.cleanProxy = e.newProxy()
	e.tap = tapproxy.New(t, e.cleanProxy.Listen)
	e.yaml = e.config(t.TempDir())
	e.startPipeline()
	// If the response to a subscribe request is lost, the server keeps a subscription
	// whose key nobody knows (docs/adr/0004-what-a-lost-answer-means.md). So there are
	// no faults during the first one.
	require.Eventually(t, e.subscribed, streamtest.Timeout, time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(e.log.String(), "Input type zato_wsx is now active") },
		streamtest.Timeout, time.Millisecond)
	t.Cleanup(func() {
		if e.stream != nil {
			e.stopPipeline()
		}
		if t.Failed() {
			t.Logf("seed %d, faults %v, log:\n%s", seed, e.injected, tail(e.log.String()))
		}
	})
	return e
}

// fetches reports whether the pipeline fetches its messages.
func (e *env) fetches() bool { return e.gateway == wsxtest.Connect }

// keepsMessages reports whether the server keeps all messages until the pipeline has
// them.
func (e *env) keepsMessages() bool {
	switch {
	case e.dropsSubscriptions || e.gateway == wsxtest.Stock:
		return false
	case e.fetches():
		return true
	}
	return e.guaranteed
}

// keepsRead reports whether the pipeline keeps every message that has reached its socket.
// If it fetches, it drops an answer that comes too late, because the server hands the
// messages out again. A server that drops its subscriptions does not.
func (e *env) keepsRead() bool { return !e.fetches() || e.keepsMessages() }

func (e *env) config(dir string) string {
	fields := []string{
		fmt.Sprintf("connection: { address: 'ws://%s%s', timeout: 2s, "+
			"backoff: { initial_interval: 5ms, max_interval: 50ms } }", e.tap.Address(), path),
		"topics: [ " + topic + " ]", "metadata: all",
	}
	if e.fetches() {
		fields = append(fields, "subscription: chaos")
	} else {
		fields = append(fields, "cache: keys")
	}
	if e.journaled {
		fields = append(fields, fmt.Sprintf("journal: { path: %q }", filepath.Join(dir, "journal")))
	}
	if e.respondsToMessages {
		fields = append(fields, "respond_to_messages: true")
	}
	return fmt.Sprintf("input: { zato_wsx: { %s } }\noutput: { sink: {} }\n"+
		"cache_resources: [ { label: keys, file: { directory: %q } } ]\n", strings.Join(fields, ", "), dir)
}

// newProxy starts a proxy in front of the server.
func (e *env) newProxy() *toxiproxy.Proxy {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "network", "127.0.0.1:0", e.Addr())
	require.NoError(e.t, proxy.Start())
	e.t.Cleanup(proxy.Stop)
	return proxy
}

// subscribed reports whether the pipeline has a subscription.
func (e *env) subscribed() bool {
	for _, sub := range e.Subscriptions() {
		if sub.Attached || sub.Name != "" && sub.ClientID != "" {
			return true
		}
	}
	return false
}

// startPipeline builds and runs the pipeline.
func (e *env) startPipeline() {
	components := service.NewEnvironment()
	require.NoError(e.t, components.RegisterBatchOutput("sink", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return e.sink, service.BatchPolicy{}, 1, nil
		}))
	b := components.NewStreamBuilder()
	require.NoError(e.t, b.SetYAML(e.yaml))
	b.SetLogger(slog.New(slog.NewTextHandler(&e.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	stream, err := b.Build()
	require.NoError(e.t, err)
	e.stream, e.stopped = stream, make(chan error, 1)
	stopped := e.stopped
	go func() { stopped <- stream.Run(context.WithoutCancel(e.t.Context())) }()
}

// stopPipeline stops the pipeline as a signal does.
func (e *env) stopPipeline() {
	const unreleased = "Could not release the subscription"
	before := strings.Count(e.log.String(), unreleased)
	require.NoError(e.t, e.stream.StopWithin(streamtest.Timeout))
	<-e.stopped
	e.stream = nil
	if strings.Count(e.log.String(), unreleased) > before {
		e.sink.endUnreleased()
	}
}

// publish publishes n messages with random priorities and sizes.
func (e *env) publish(n int) { e.publishFrom(e.rand, n) }

func (e *env) publishFrom(random *rand.Rand, n int) {
	for range n {
		text := strings.Repeat("x", 1+random.IntN(2000))
		_, err := e.Publish(topic, text, wsxtest.PublishOptions{Priority: 1 + random.IntN(9)})
		assert.NoError(e.t, err)
	}
}

// publishMarker publishes a message with the lowest priority and returns its id.
func (e *env) publishMarker() string {
	id, err := e.Publish(topic, "marker", wsxtest.PublishOptions{Priority: 1})
	assert.NoError(e.t, err)
	return id
}

// randomPause waits for a random time below d. It makes faults fall at random moments;
// no assertion depends on it.
func (e *env) randomPause(d time.Duration) {
	<-time.After(time.Duration(e.rand.Int64N(int64(d))))
}

// reset removes all faults.
func (e *env) reset() {
	e.RefuseLogins(0)
	e.tap.Redirect(e.cleanProxy.Listen)
	e.Cut() // connections through a faulty network
	e.sink.configure(0, 0)
}

// tail returns the end of a long text.
func tail(text string) string { return text[max(0, len(text)-20_000):] }
