package conformance_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// The two topics that a server must have, two that it may have, one that it must not have, and
// one that the endpoint has no right to.
const (
	topicPlain      = "/my/topic"
	topicGuaranteed = "/my/topic.gd"
	// topicSmall may have smallDepth messages in memory. So may topicSwallows, which is another
	// topic because the server may no longer deliver anything of it.
	topicSmall     = "/my/topic.small"
	topicSwallows  = "/my/topic.swallows"
	topicUnknown   = "/my/no-such"
	topicForbidden = "/no/such"
)

const smallDepth = 5

// testTarget is a server under test.
type testTarget struct {
	config wsx.Config
	// gateway says what the channel is mounted on. The suite has behaviours of each
	// kind, so it shows what the companion changes on purpose.
	gateway wsxtest.Gateway
	// can has what the companion of the gateway can do. It is nil if the gateway has
	// none.
	can []string
	// short is nil if there is no such channel.
	short *shortChannel
	// deliveryInterval is the time between two rounds of delivery.
	deliveryInterval time.Duration
	// small lets one behaviour at a time use topicSmall.
	small chan struct{}
}

// shortChannel is a channel of another endpoint with short times. Its gateway is of the
// same kind.
type shortChannel struct {
	testTarget

	// missedAfter is how long the server waits for a pong. The second one that is
	// missed ends the connection.
	missedAfter time.Duration
}

// behaviour is a test. Needs is empty, an ability of the companion or one of the
// following.
type behaviour struct {
	needs string
	run   func(*testing.T, testTarget)
}

// What a behaviour may need.
const (
	shortPings       = "a channel with short times"
	durable          = "durable subscriptions"
	stockGateway     = "the stock gateway"
	withCompanion    = "the companion"
	withoutCompanion = "no companion"
	// pushedOnly is a gateway with durable subscriptions that are not the companion's.
	pushedOnly = "durable subscriptions without the companion"
)

func (tgt testTarget) has(need string) bool {
	switch need {
	case "":
		return true
	case shortPings:
		return tgt.short != nil
	case durable:
		return tgt.gateway != wsxtest.Stock
	case stockGateway:
		return tgt.gateway == wsxtest.Stock
	case withCompanion:
		return tgt.gateway == wsxtest.Connect
	case withoutCompanion:
		return tgt.gateway != wsxtest.Connect
	case pushedOnly:
		return tgt.gateway == wsxtest.Patched
	}
	return slices.Contains(tgt.can, need)
}

func TestSimulatorWithAPatchedGatewayConforms(t *testing.T) {
	t.Parallel()
	runSuite(t, simulatorTarget(t, wsxtest.Patched))
}

func TestSimulatorWithAStockGatewayConforms(t *testing.T) {
	t.Parallel()
	runSuite(t, simulatorTarget(t, wsxtest.Stock))
}

func TestSimulatorWithACompanionConforms(t *testing.T) {
	t.Parallel()
	runSuite(t, simulatorTarget(t, wsxtest.Connect))
}

func TestServerNamedByTheEnvironmentConforms(t *testing.T) {
	t.Parallel()
	tgt := testTarget{config: wsx.Config{
		Address:  os.Getenv("ZATO_WSX_ADDRESS"),
		Username: os.Getenv("ZATO_WSX_USERNAME"),
		Secret:   wsx.Secret(os.Getenv("ZATO_WSX_SECRET")),
	}, deliveryInterval: 500 * time.Millisecond}
	if tgt.config.Address == "" {
		t.Skip("ZATO_WSX_ADDRESS is not set: no other server to test")
	}
	tgt = tgt.withGateway(t)
	if address := os.Getenv("ZATO_WSX_ADDRESS_SHORT"); address != "" {
		tgt.short = &shortChannel{testTarget: tgt, missedAfter: 7 * time.Second}
		tgt.short.config.Address = address
	}
	t.Logf("the gateway of %s is %v; its companion can: %q", tgt.config.Address, tgt.gateway, tgt.can)
	runSuite(t, tgt)
}

func simulatorTarget(t *testing.T, gateway wsxtest.Gateway) testTarget {
	t.Helper()
	channel := wsxtest.Channel{
		Path: "/conformance", Username: "user1", Secret: "secret1", Gateway: gateway, NewTokenWait: 2 * time.Second,
		NoPublish: []string{topicForbidden}, NoSubscribe: []string{topicForbidden},
	}
	short := channel
	short.Path, short.PingInterval, short.PongWait = "/short", 400*time.Millisecond, time.Second
	const interval = 50 * time.Millisecond
	options := []wsxtest.Option{
		wsxtest.WithDeliveryInterval(interval), wsxtest.WithTakeoverDelay(interval),
		wsxtest.WithChannel(channel), wsxtest.WithChannel(short),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicPlain}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicGuaranteed, GuaranteedDelivery: true}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicSmall, MaxDepthNonGD: smallDepth}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicSwallows, MaxDepthNonGD: smallDepth}),
	}
	for name, service := range wsxtest.DemoServices() {
		options = append(options, wsxtest.WithService(name, service))
	}
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	tgt := testTarget{
		config:           wsx.Config{Address: server.URL(channel.Path), Username: channel.Username, Secret: "secret1"},
		deliveryInterval: interval,
	}
	tgt = tgt.withGateway(t)
	require.Equal(t, gateway, tgt.gateway)
	tgt.short = &shortChannel{
		testTarget: tgt, missedAfter: short.PingInterval + short.PongWait,
	}
	tgt.short.config.Address = server.URL(short.Path)
	return tgt
}

// withGateway finds out what the channel is mounted on.
func (tgt testTarget) withGateway(t *testing.T) testTarget {
	t.Helper()
	tgt.can = describe(t, tgt)
	tgt.small = make(chan struct{}, 1)
	// On a stock gateway, the service subscribe-wsx fails.
	request := fields{"topic_name": topicPlain}
	_, err := tgt.client(t).Invoke(t.Context(), serviceSubscribe, request)
	switch {
	case tgt.can != nil:
		require.NoError(t, err)
		tgt.gateway = wsxtest.Connect
	case err == nil:
		tgt.gateway = wsxtest.Patched
	default:
		require.Equal(t, 500, serverError(t, err).Status)
		tgt.gateway = wsxtest.Stock
	}
	return tgt
}

func (tgt testTarget) client(t *testing.T) *wsx.Client {
	t.Helper()
	cfg := tgt.config
	cfg.CallTimeout = time.Minute
	c, err := wsx.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func runSuite(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, part := range []map[string]behaviour{
		sessions(), calls(), publications(), subscriptions(), fetches(), lists(), depths(),
	} {
		for name, b := range part {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if !tgt.has(b.needs) {
					t.Skipf("needs %s", b.needs)
				}
				b.run(t, tgt)
			})
		}
	}
}

// compact removes the server's indentation.
func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v), "%s", raw)
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}

// serverError returns the server's error that err wraps.
func serverError(t *testing.T, err error) *wsx.ServerError {
	t.Helper()
	var serverErr *wsx.ServerError
	require.ErrorAs(t, err, &serverErr)
	return serverErr
}
