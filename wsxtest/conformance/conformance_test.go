package conformance_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// The two topics that a server must have, one that it must not have, and one that the
// endpoint has no right to.
const (
	topicPlain      = "/my/topic"
	topicGuaranteed = "/my/topic.gd"
	topicUnknown    = "/my/no-such"
	topicForbidden  = "/no/such"
)

// testTarget is a server under test.
type testTarget struct {
	config wsx.Config
	// patched is set if subscriptions can be durable and resumed. Otherwise the
	// suite asserts that they cannot.
	patched bool
	// can has what the companion of the gateway can do. It is nil if the gateway has
	// none.
	can []string
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
	address := os.Getenv("ZATO_WSX_ADDRESS")
	if address == "" {
		t.Skip("ZATO_WSX_ADDRESS is not set: no other server to test")
	}
	tgt := testTarget{config: wsx.Config{
		Address:  address,
		Username: os.Getenv("ZATO_WSX_USERNAME"),
		Secret:   wsx.Secret(os.Getenv("ZATO_WSX_SECRET")),
	}}
	tgt.patched, tgt.can = hasPatchedGateway(t, tgt), describe(t, tgt)
	t.Logf("the gateway of %s is patched: %t; its companion can: %q", address, tgt.patched, tgt.can)
	runSuite(t, tgt)
}

func simulatorTarget(t *testing.T, gateway wsxtest.Gateway) testTarget {
	t.Helper()
	options := []wsxtest.Option{
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/conformance", Username: "user1", Secret: "secret1", Gateway: gateway,
			NoPublish: []string{topicForbidden}, NoSubscribe: []string{topicForbidden},
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicPlain}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicGuaranteed, GuaranteedDelivery: true}),
	}
	for name, service := range wsxtest.DemoServices() {
		options = append(options, wsxtest.WithService(name, service))
	}
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	tgt := testTarget{
		config:  wsx.Config{Address: server.URL("/conformance"), Username: "user1", Secret: "secret1"},
		patched: gateway != wsxtest.Stock,
	}
	tgt.can = describe(t, tgt)
	require.Equal(t, gateway == wsxtest.Connect, tgt.can != nil)
	return tgt
}

// hasPatchedGateway reports whether a server has a patched gateway. On a stock one,
// the service subscribe-wsx fails.
func hasPatchedGateway(t *testing.T, tgt testTarget) bool {
	t.Helper()
	request := map[string]any{"topic_name": topicPlain}
	_, err := tgt.client(t).Invoke(t.Context(), "zato.pubsub.pubapi.subscribe-wsx", request)
	return err == nil
}

func (tgt testTarget) client(t *testing.T) *wsx.Client {
	t.Helper()
	cfg := tgt.config
	cfg.CallTimeout = 20 * time.Second
	c, err := wsx.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func runSuite(t *testing.T, tgt testTarget) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, testTarget){
		"a wrong secret is refused":                         wrongSecretIsRefused,
		"results keep their type":                           resultsKeepTheirType,
		"a falsy result arrives as an empty string":         falsyResultsArriveEmpty,
		"failures carry a status and a cid":                 failuresCarryStatusAndCID,
		"requests of one connection run one at a time":      requestsRunOneAtATime,
		"large requests and results pass":                   largeFramesPass,
		"a published message arrives with its metadata":     publishedMessageArrives,
		"published objects arrive in Python notation":       objectsArriveAsPython,
		"invalid publications are refused":                  badPublicationsAreRefused,
		"queued messages arrive in the order of priority":   messagesArriveByPriority,
		"a durable subscription keeps messages":             durableSubscriptionKeepsMessages,
		"an unknown key is not resumed":                     unknownKeyIsNotResumed,
		"unsubscribing needs the topic and can be repeated": unsubscribingNeedsTheTopic,
		"a subscription to an unknown topic is refused":     unknownTopicIsRefused,
		"two connections may use one client id":             clientIDCanBeShared,
		"a response has the caller's own message id":        ownMessageIDIsAnswered,
		"the server echoes a close frame":                   closeFrameIsEchoed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tgt)
		})
	}
	runCompanionSuite(t, tgt)
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
