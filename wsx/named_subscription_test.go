package wsx_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// companion stands in for the companion services. It answers each of them with what a test
// has set, and keeps the requests.
type companion struct {
	answers  map[string]string
	errors   map[string]error
	requests map[string][]string
}

func newCompanion() *companion {
	return &companion{
		answers: map[string]string{
			"connect.describe": `{"name": "zato-connect", "version": 1, "can": ["fetch", "subscriptions"],
				"limits": {"fetch_messages": 2000, "fetch_seconds": 20, "ids": 1000}, "services": ["zato.ping"],
				"database": "sqlite", "log_level": "INFO"}`,
			"connect.subscribe": `{"sub_key": "k", "holder": "h", "created": true, "given_back": 3}`,
			"connect.fetch":     `{"messages": [], "confirmed": 0}`,
		},
		errors: map[string]error{}, requests: map[string][]string{},
	}
}

func (c *companion) serve(_ context.Context, inv wsxtest.Invocation) (any, error) {
	c.requests[inv.Service] = append(c.requests[inv.Service], string(inv.Payload))
	return json.RawMessage(c.answers[inv.Service]), c.errors[inv.Service]
}

func (c *companion) options() []wsxtest.Option {
	var out []wsxtest.Option
	for _, name := range []string{
		"connect.describe", "connect.subscribe", "connect.fetch", "connect.subscriptions", "connect.unsubscribe",
	} {
		out = append(out, wsxtest.WithService(name, c.serve))
	}
	return out
}

// withCompanion runs a test with a client of a channel that is mounted on the companion.
func withCompanion(t *testing.T, test func(*companion, *testServer, *wsx.Client)) {
	t.Helper()
	c := newCompanion()
	withServer(t, func(s *testServer) {
		test(c, s, s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Gateway = wsx.GatewayConnect }))
	}, c.options()...)
}

func TestDescribeReturnsWhatTheGatewayCanDo(t *testing.T) {
	withCompanion(t, func(_ *companion, s *testServer, c *wsx.Client) {
		d, err := c.Describe(s.t.Context())
		require.NoError(t, err)
		assert.Equal(t, wsx.Description{
			Name: "zato-connect", Version: 1, Can: []string{"fetch", "subscriptions"},
			Limits:   wsx.Limits{FetchMessages: 2000, FetchSeconds: 20, IDs: 1000},
			Services: []string{"zato.ping"}, Database: "sqlite", LogLevel: "INFO",
		}, d)
		assert.True(t, d.IsCompanion())
		assert.True(t, d.Offers(wsx.AbilityFetch))
		assert.False(t, d.Offers(wsx.AbilityFetchInMemory))
	})
}

func TestDescribeAsksOncePerConnection(t *testing.T) {
	for gateway, asked := range map[wsx.Gateway][]int{
		wsx.GatewayStock: {0, 0, 0, 0}, wsx.GatewayAuto: {0, 1, 1, 2}, wsx.GatewayConnect: {1, 1, 2, 2},
	} {
		companion := newCompanion()
		withServer(t, func(s *testServer) {
			c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.Gateway = gateway })
			assert.Equal(t, asked[0], s.Invocations("connect.describe"), "after the login, gateway %d", gateway)
			for range 2 {
				_, err := c.Describe(s.t.Context())
				require.NoError(t, err)
			}
			assert.Equal(t, asked[1], s.Invocations("connect.describe"), "after Describe, gateway %d", gateway)
			s.Cut()
			advance(time.Second)
			require.NoError(t, c.AwaitReady(s.t.Context()))
			assert.Equal(t, asked[2], s.Invocations("connect.describe"), "after a reconnect, gateway %d", gateway)
			_, err := c.Describe(s.t.Context())
			require.NoError(t, err)
			assert.Equal(t, asked[3], s.Invocations("connect.describe"), "after Describe, gateway %d", gateway)
		}, companion.options()...)
	}
}

func TestGatewayWithoutTheCompanionHasTheZeroDescription(t *testing.T) {
	withServer(t, func(s *testServer) {
		d, err := s.connect(stockPath).Describe(s.t.Context())
		require.NoError(t, err)
		assert.Equal(t, wsx.Description{}, d)
		assert.False(t, d.IsCompanion())
	})
	unknown := newCompanion()
	unknown.errors["connect.describe"] = &wsxtest.StatusError{Status: 404, Message: "No such service"}
	withServer(t, func(s *testServer) {
		d, err := s.connect(patchedPath).Describe(s.t.Context())
		require.NoError(t, err)
		assert.Equal(t, wsx.Description{}, d)
	}, unknown.options()...)
	for _, answer := range []string{`"anything"`, `{"name": "other"}`, `{"name": 1}`, `[]`, `null`} {
		c := newCompanion()
		c.answers["connect.describe"] = answer
		withServer(t, func(s *testServer) {
			d, err := s.connect(patchedPath).Describe(s.t.Context())
			require.NoError(t, err, answer)
			assert.Equal(t, wsx.Description{}, d, answer)
		}, c.options()...)
	}
}

// The server ends a session whose token has expired with an error that has the status 403.
func TestEndOfTheSessionIsNoAnswerToACall(t *testing.T) {
	for name, call := range map[string]func(context.Context, *wsx.Client) error{
		"describe": func(ctx context.Context, c *wsx.Client) error {
			d, err := c.Describe(ctx)
			if err == nil && !d.IsCompanion() {
				return errors.New("taken for a stock gateway")
			}
			return err
		},
		"subscribe": func(ctx context.Context, c *wsx.Client) error {
			_, err := c.Subscribe(ctx, wsx.Subscription{Topic: "/my/topic"})
			return err
		},
		"durable": func(ctx context.Context, c *wsx.Client) error {
			_, err := c.SupportsDurable(ctx)
			return err
		},
	} {
		withServer(t, func(s *testServer) {
			c := s.connect(patchedPath)
			s.ExpireTokens()
			if err := call(s.t.Context(), c); err != nil {
				assert.False(t, wsx.IsRejected(err), "%s: %v", name, err)
				assert.NotEqual(t, wsx.WasSent, wsx.SendStatusOf(err), "%s: %v", name, err)
			}
		}, newCompanion().options()...)
	}
}

func TestGatewayThatCannotBeDescribedIsAnError(t *testing.T) {
	for _, gateway := range []wsx.Gateway{wsx.GatewayAuto, wsx.GatewayConnect} {
		c := newCompanion()
		c.errors["connect.describe"] = &wsxtest.StatusError{Status: 500, Message: "Internal server error"}
		withServer(t, func(s *testServer) {
			client := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Gateway = gateway })
			_, err := client.Describe(withTimeout(s.t, 3*time.Second))
			require.ErrorContains(t, err, "describing the gateway")
			var failed *wsx.ServerError
			require.ErrorAs(t, err, &failed)
			assert.False(t, wsx.IsRejected(err), "it may pass")
			delete(c.errors, "connect.describe")
			d, err := client.Describe(s.t.Context())
			require.NoError(t, err)
			assert.True(t, d.IsCompanion())
		}, c.options()...)
	}
}

func TestChannelWithoutTheCompanionIsRejectedIfTheConfigurationRequiresIt(t *testing.T) {
	withServer(t, func(s *testServer) {
		c := s.newClient(stockPath, func(cfg *wsx.Config) { cfg.Gateway = wsx.GatewayConnect })
		err := c.AwaitReady(s.t.Context())
		require.ErrorIs(t, err, wsx.ErrNoCompanion)
		require.ErrorContains(t, err, "mount it on connect.gateway (zato/README.md), or set gateway: auto")
		assert.True(t, wsx.IsRejected(err))
		assert.Equal(t, wsx.ReasonNoCompanion, wsx.ReasonOf(err))
	})
}

func TestNamedSubscriptionIsSubscribedFetchedAndDeleted(t *testing.T) {
	withCompanion(t, func(c *companion, s *testServer, client *wsx.Client) {
		ctx := s.t.Context()
		q, err := client.SubscribeNamed(ctx, wsx.NamedSubscription{Topic: "/t", Name: "n"})
		require.NoError(t, err)
		assert.Equal(t, wsx.Queue{Topic: "/t", Key: "k", Holder: "h", Created: true, GivenBack: 3}, q)

		_, err = client.SubscribeNamed(ctx, wsx.NamedSubscription{
			Topic: "/t", Name: "n", Shared: true, Holder: "h0", IfIdle: 30 * time.Second,
		})
		require.NoError(t, err)
		assert.Equal(t, []string{
			`{"topic_name":"/t","name":"n","shared":false}`,
			`{"topic_name":"/t","name":"n","shared":true,"holder":"h0","if_idle":30}`,
		}, c.requests["connect.subscribe"])

		c.answers["connect.fetch"] = `{"messages": [{"msg_id": "m", "data": "one", "pub_time": "1795943603.5",
			"delivery_count": 2}], "confirmed": 1}`
		fetched, err := client.Fetch(ctx, q, wsx.FetchRequest{
			Confirmed: []string{"a"}, Returned: []string{"b"}, Renewed: []string{"c"}, Max: 7,
			Wait: 500 * time.Millisecond, Lease: 30 * time.Second, Release: true,
		})
		require.NoError(t, err)
		assert.Equal(t, wsx.Fetched{Confirmed: 1, Messages: []wsx.Message{{
			Topic: "/t", SubKey: "k", MsgID: "m", Data: []byte("one"), Size: 3, DeliveryCount: 2,
			PubTime: "2026-11-29T09:13:23.500000",
		}}}, fetched)
		_, err = client.Fetch(ctx, wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{})
		require.NoError(t, err)
		assert.Equal(t, []string{
			`{"sub_key":"k","holder":"h","confirmed":["a"],"returned":["b"],"renewed":["c"],"max":7,` +
				`"max_bytes":25165824,"wait":0.5,"lease":30,"release":true}`,
			`{"sub_key":"k","max":0,"max_bytes":25165824,"wait":0}`,
		}, c.requests["connect.fetch"])

		c.answers["connect.unsubscribe"] = `{"waiting": 4}`
		dropped, err := client.UnsubscribeNamed(ctx, "/t", "n")
		require.NoError(t, err)
		assert.Equal(t, 4, dropped)
		assert.Equal(t, []string{`{"topic_name":"/t","name":"n"}`}, c.requests["connect.unsubscribe"])
		assert.Empty(t, client.Subscriptions(), "these are the pushed ones")
	})
}

func TestNamedSubscriptionsAreListedWithTheirConsumers(t *testing.T) {
	withCompanion(t, func(c *companion, s *testServer, client *wsx.Client) {
		c.answers["connect.subscriptions"] = `{"subscriptions": [
			{"topic_name": "/t", "name": "n", "shared": false, "waiting": 1, "unconfirmed": 2,
				"consumer": {"client_id": "c", "client_name": "C"}, "idle": 1.5},
			{"topic_name": "/u", "name": "m", "shared": true, "waiting": 0, "unconfirmed": 0, "consumer": null, "idle": null}]}`
		got, err := client.NamedSubscriptions(s.t.Context(), "/t", "")
		require.NoError(t, err)
		assert.Equal(t, []wsx.NamedSubscriptionInfo{
			{
				Topic: "/t", Name: "n", Waiting: 1, Unconfirmed: 2,
				Consumer: &wsx.Consumer{ClientID: "c", ClientName: "C"}, Idle: 1500 * time.Millisecond,
			},
			{Topic: "/u", Name: "m", Shared: true, Idle: -1},
		}, got)
		_, err = client.NamedSubscriptions(s.t.Context(), "", "n")
		require.NoError(t, err)
		assert.Equal(t, []string{`{"topic_name":"/t","name":null}`, `{"topic_name":null,"name":"n"}`},
			c.requests["connect.subscriptions"])
	})
}

func TestErrorsOfNamedSubscriptionsSayWhatTheStatusMeans(t *testing.T) {
	subscribe := func(holder string) func(context.Context, *wsx.Client) error {
		return func(ctx context.Context, c *wsx.Client) error {
			_, err := c.SubscribeNamed(ctx, wsx.NamedSubscription{Topic: "/t", Name: "n", Holder: holder})
			return err
		}
	}
	fetch := func(ctx context.Context, c *wsx.Client) error {
		_, err := c.Fetch(ctx, wsx.Queue{Topic: "/t", Key: "k", Holder: "h"}, wsx.FetchRequest{Max: 1})
		return err
	}
	unsubscribe := func(ctx context.Context, c *wsx.Client) error {
		_, err := c.UnsubscribeNamed(ctx, "/t", "n")
		return err
	}
	for name, one := range map[string]struct {
		service  string
		status   int
		call     func(context.Context, *wsx.Client) error
		meaning  error
		rejected bool
	}{
		"unknown topic":        {"connect.subscribe", 404, subscribe(""), wsx.ErrSubscribeFailed, true},
		"no right":             {"connect.subscribe", 403, subscribe(""), wsx.ErrSubscribeFailed, true},
		"deleted":              {"connect.subscribe", 404, subscribe("h"), wsx.ErrNoSubscription, false},
		"subscription is held": {"connect.subscribe", 409, subscribe("h"), wsx.ErrTakenOver, false},
		"fetch of another":     {"connect.fetch", 409, fetch, wsx.ErrTakenOver, false},
		"fetch of a deleted":   {"connect.fetch", 404, fetch, wsx.ErrNoSubscription, false},
		"fetch without right":  {"connect.fetch", 403, fetch, wsx.ErrSubscribeFailed, true},
		"too large":            {"connect.fetch", 413, fetch, wsx.ErrMessageTooLarge, true},
		"server error":         {"connect.fetch", 500, fetch, nil, false},
		"nothing to delete":    {"connect.unsubscribe", 404, unsubscribe, wsx.ErrNoSubscription, false},
	} {
		withCompanion(t, func(c *companion, s *testServer, client *wsx.Client) {
			c.errors[one.service] = &wsxtest.StatusError{Status: one.status, Message: "because of m1"}
			err := one.call(s.t.Context(), client)
			var answer *wsx.ServerError
			require.ErrorAs(t, err, &answer, name)
			assert.Equal(t, one.status, answer.Status, name)
			require.ErrorContains(t, err, `topic "/t": `, name)
			if one.meaning != nil {
				require.ErrorIs(t, err, one.meaning, name)
			}
			assert.Equal(t, one.rejected, wsx.IsRejected(err), name)
			assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(err), name)
		})
	}
}

func TestInvalidNamesAreNotSent(t *testing.T) {
	withCompanion(t, func(_ *companion, s *testServer, client *wsx.Client) {
		for topic, names := range map[string][]string{
			"/t": {"", strings.Repeat("é", 201), "\xff"}, "": {"n"}, "\xff": {"n"},
		} {
			for _, name := range names {
				_, err := client.SubscribeNamed(s.t.Context(), wsx.NamedSubscription{Topic: topic, Name: name})
				require.ErrorIs(t, err, wsx.ErrInvalid, "%q %q", topic, name)
			}
		}
		_, err := client.SubscribeNamed(s.t.Context(), wsx.NamedSubscription{Topic: "/t", Name: strings.Repeat("é", 200)})
		require.NoError(t, err)
	})
}
