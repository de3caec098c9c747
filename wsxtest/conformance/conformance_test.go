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

// The two topics that a server needs, and one that it must not have.
const (
	topicPlain      = "/my/topic"
	topicGuaranteed = "/my/topic.gd"
	topicUnknown    = "/no/such"
)

// target is a server under test.
type target struct {
	config wsx.Config
	// patched tells whether subscriptions can be durable and resumed. Where they
	// cannot, that itself is asserted.
	patched bool
}

func TestSimulatorWithAMendedGatewayConforms(t *testing.T) {
	t.Parallel()
	conform(t, simulated(t, wsxtest.Patched))
}

func TestSimulatorWithAStockGatewayConforms(t *testing.T) {
	t.Parallel()
	conform(t, simulated(t, wsxtest.Stock))
}

func TestServerNamedByTheEnvironmentConforms(t *testing.T) {
	t.Parallel()
	address := os.Getenv("ZATO_WSX_ADDRESS")
	if address == "" {
		t.Skip("ZATO_WSX_ADDRESS is not set: no other server to test")
	}
	tgt := target{config: wsx.Config{
		Address:  address,
		Username: os.Getenv("ZATO_WSX_USERNAME"),
		Secret:   wsx.Secret(os.Getenv("ZATO_WSX_SECRET")),
	}}
	tgt.patched = probe(t, tgt)
	t.Logf("the gateway of %s is patched: %t", address, tgt.patched)
	conform(t, tgt)
}

func simulated(t *testing.T, gateway wsxtest.Gateway) target {
	t.Helper()
	options := []wsxtest.Option{
		wsxtest.WithChannel(wsxtest.Channel{Path: "/conformance", Username: "user1", Secret: "secret1", Gateway: gateway}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicPlain}),
		wsxtest.WithTopic(wsxtest.Topic{Name: topicGuaranteed, GuaranteedDelivery: true}),
	}
	for name, service := range wsxtest.DemoServices() {
		options = append(options, wsxtest.WithService(name, service))
	}
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return target{
		config:  wsx.Config{Address: server.URL("/conformance"), Username: "user1", Secret: "secret1"},
		patched: gateway == wsxtest.Patched,
	}
}

// probe finds out which gateway a server has, by the service that fails on the
// stock one.
func probe(t *testing.T, tgt target) bool {
	t.Helper()
	request := map[string]any{"topic_name": topicPlain}
	_, err := tgt.client(t).Invoke(t.Context(), "zato.pubsub.pubapi.subscribe-wsx", request)
	return err == nil
}

func (tgt target) client(t *testing.T) *wsx.Client {
	t.Helper()
	cfg := tgt.config
	cfg.CallTimeout = 20 * time.Second
	c, err := wsx.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func conform(t *testing.T, tgt target) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, target){
		"a wrong secret is refused":                          wrongSecretIsRefused,
		"answers keep their shape":                           answersKeepTheirShape,
		"an answer that is false arrives as an empty text":   falseAnswersArriveEmpty,
		"failures carry a status and a cid":                  failuresCarryStatusAndCID,
		"requests of one connection run one at a time":       requestsRunOneAtATime,
		"large requests and answers pass":                    largeFramesPass,
		"a published message arrives with its context":       publishedMessageArrives,
		"published objects arrive in the notation of Python": objectsArriveAsPython,
		"publications that are not right are refused":        badPublicationsAreRefused,
		"messages that are due at once come by priority":     messagesComeByPriority,
		"a durable subscription waits for its reader":        durableSubscriptionWaits,
		"an unknown key is not resumed":                      unknownKeyIsNotResumed,
		"unsubscribing needs the topic and can be repeated":  unsubscribingNeedsTheTopic,
		"a subscription to an unknown topic is refused":      unknownTopicIsRefused,
		"two connections may use one client id":              clientIDCanBeShared,
		"the caller's own message id is answered":            ownMessageIDIsAnswered,
		"the server agrees to a goodbye":                     goodbyeIsAnswered,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tgt)
		})
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

// refusal is the server's own error in err.
func refusal(t *testing.T, err error) *wsx.ServerError {
	t.Helper()
	var refused *wsx.ServerError
	require.ErrorAs(t, err, &refused)
	return refused
}
