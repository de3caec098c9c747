package wsx_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestConfigurationFaultsNameTheirField(t *testing.T) {
	good := wsx.Config{Address: "ws://host/path"}
	require.NoError(t, good.Validate())
	for field, broken := range map[string][]func(*wsx.Config){
		"address": {
			func(c *wsx.Config) { c.Address = "" },
			func(c *wsx.Config) { c.Address = "http://host/path" },
			func(c *wsx.Config) { c.Address = "ws:///path" },
			func(c *wsx.Config) { c.Address = "ws://user:hidden@host/path" },
			func(c *wsx.Config) { c.Address = "ws://user:hidden@ho st/path" },
			func(c *wsx.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
		},
		"attributes": {
			func(c *wsx.Config) { c.Attributes = map[string]string{"": "v"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a=b": "v"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a": "v\nb=c"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a": "\xff"} },
		},
		"username":                 {func(c *wsx.Config) { c.Username = "\xff" }},
		"secret":                   {func(c *wsx.Config) { c.Secret = "hidden\xff" }},
		"client_id":                {func(c *wsx.Config) { c.ClientID = "\xff" }},
		"client_name":              {func(c *wsx.Config) { c.ClientName = "\xff" }},
		"timeout":                  {func(c *wsx.Config) { c.Timeout = -1 }},
		"call timeout":             {func(c *wsx.Config) { c.CallTimeout = -1 }},
		"ping_interval":            {func(c *wsx.Config) { c.PingInterval = -1 }},
		"backoff.initial_interval": {func(c *wsx.Config) { c.InitialBackOff = -1 }},
		"backoff.max_interval":     {func(c *wsx.Config) { c.MaxBackOff = -1 }},
		"max_message_size":         {func(c *wsx.Config) { c.MaxMessageSize = -1 }},
		"calls_per_connection":     {func(c *wsx.Config) { c.CallsPerConnection = -1 }},
		"prefetch_count":           {func(c *wsx.Config) { c.PrefetchCount = -1 }},
	} {
		for _, change := range broken {
			c := good
			change(&c)
			_, err := wsx.New(c)
			require.ErrorIs(t, err, wsx.ErrInvalid, field)
			assert.Contains(t, err.Error(), field+": ")
			assert.NotContains(t, err.Error(), "hidden")
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
	}
}

func TestEveryFaultIsListed(t *testing.T) {
	_, err := wsx.New(wsx.Config{Timeout: -1})
	require.ErrorContains(t, err, "address")
	require.ErrorContains(t, err, "timeout")
}

func TestNewDoesNotTouchTheNetwork(t *testing.T) {
	c, err := wsx.New(wsx.Config{
		Address: "ws://host/path",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialed")
			return nil, errors.New("no")
		},
	})
	require.NoError(t, err)
	state, cause := c.State()
	assert.Equal(t, wsx.Idle, state)
	require.NoError(t, cause)
	assert.Zero(t, c.Pending())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Receive(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrClosed)
}

func TestSecretsPrintAsStars(t *testing.T) {
	cfg := wsx.Config{Secret: "hidden"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(verb, cfg.Secret), "hidden", verb)
		assert.NotContains(t, fmt.Sprintf(verb, wsx.Message{SubKey: "hidden"}), "hidden", verb)
	}
	out, err := json.Marshal(map[string]any{"s": cfg.Secret})
	require.NoError(t, err)
	assert.JSONEq(t, `{"s":"***"}`, string(out))
	assert.Equal(t, "hidden", cfg.Secret.Reveal())
	assert.Empty(t, wsx.Secret("").String())
}

func TestStatesAndSendStatusesHaveNames(t *testing.T) {
	for s := wsx.Idle; s <= wsx.Stopped; s++ {
		assert.NotEqual(t, "unknown", s.String())
	}
	assert.Equal(t, "unknown", wsx.State(99).String())
	assert.Equal(t, "not sent", wsx.NotSent.String())
	assert.Equal(t, "sent", wsx.WasSent.String())
	assert.Equal(t, "maybe sent", wsx.MaybeSent.String())
}
