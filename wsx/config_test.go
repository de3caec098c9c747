package wsx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestInvalidConfigNamesTheField(t *testing.T) {
	valid := wsx.Config{Address: "ws://host/path"}
	require.NoError(t, valid.Validate())
	for field, changes := range map[string][]func(*wsx.Config){
		"address": {
			func(c *wsx.Config) { c.Address = "" },
			func(c *wsx.Config) { c.Address = "http://host/path" },
			func(c *wsx.Config) { c.Address = "ws:///path" },
			func(c *wsx.Config) { c.Address = "ws://user:hidden@host/path" },
			func(c *wsx.Config) { c.Address = "ws://user:hidden@ho st/path" },
			func(c *wsx.Config) { c.Address = "ws://:48902/path" },
			func(c *wsx.Config) { c.Address = "ws://host:/path" },
			func(c *wsx.Config) { c.Address = "ws://host:0/path" },
			func(c *wsx.Config) { c.Address = "ws://host:65536/path" },
			func(c *wsx.Config) { c.Address = "ws://host:port/path" },
			func(c *wsx.Config) { c.Address = "ws://::1:48902/path" },
			func(c *wsx.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
			func(c *wsx.Config) { c.TLSFunc = func() (*tls.Config, error) { return nil, nil } },
		},
		"tls": {func(c *wsx.Config) {
			c.Address, c.TLS = "wss://host/path", &tls.Config{MinVersion: tls.VersionTLS12}
			c.TLSFunc = func() (*tls.Config, error) { return c.TLS, nil }
		}},
		"attributes": {
			func(c *wsx.Config) { c.Attributes = map[string]string{"": "v"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a=b": "v"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a": "v\nb=c"} },
			func(c *wsx.Config) { c.Attributes = map[string]string{"a": "\xff"} },
		},
		"username": {func(c *wsx.Config) { c.Username = "\xff" }},
		"secret": {
			func(c *wsx.Config) { c.Secret = "hidden\xff" },
			func(c *wsx.Config) { c.Secret, c.SecretFunc = "hidden", (&secretSource{}).read },
		},
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
		for _, change := range changes {
			c := valid
			change(&c)
			_, err := wsx.New(c)
			require.ErrorIs(t, err, wsx.ErrInvalid, field)
			assert.Contains(t, err.Error(), field+": ")
			assert.NotContains(t, err.Error(), "hidden")
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
	}
}

func TestNewListsEveryInvalidField(t *testing.T) {
	_, err := wsx.New(wsx.Config{Timeout: -1})
	require.ErrorContains(t, err, "address")
	require.ErrorContains(t, err, "timeout")
}

func TestNewDoesNoIO(t *testing.T) {
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
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Receive(canceled)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrClosed)
}
