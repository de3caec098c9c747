package config_test

import (
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

var spec = service.NewConfigSpec().Field(config.ConnectionField())

func parse(t *testing.T, yaml string) (*config.Connection, error) {
	t.Helper()
	conf, err := spec.ParseYAML("connection: "+yaml, nil)
	if err != nil {
		return nil, err
	}
	return config.ParseConnection(conf)
}

func TestEveryFieldIsParsed(t *testing.T) {
	c, err := parse(t, `
  address: wss://host/path
  username: u
  secret: 's "quoted"'
  gateway: connect
  client_id: i
  client_name: n
  attributes: { region: eu }
  timeout: 1s
  max_connections: 2
  ping_interval: 3s
  calls_per_connection: 4
  max_message_size: 5
  tls: { enabled: true, skip_cert_verify: true }
  proxy_url: http://proxy:3128
  headers: { x-a: b }
  backoff: { initial_interval: 6s, max_interval: 7s }
`)
	require.NoError(t, err)
	assert.Equal(t, 2, c.MaxConnections)
	assert.Equal(t, "wss://host/path", c.Client.Address)
	assert.Equal(t, "u", c.Client.Username)
	assert.Equal(t, `s "quoted"`, c.Client.Secret.Reveal())
	assert.Equal(t, wsx.GatewayConnect, c.Client.Gateway)
	assert.Equal(t, "i n", c.Client.ClientID+" "+c.Client.ClientName)
	assert.Equal(t, map[string]string{"region": "eu"}, c.Client.Attributes)
	assert.Equal(t, time.Second, c.Client.Timeout)
	assert.Equal(t, 3*time.Second, c.Client.PingInterval)
	assert.Equal(t, 4, c.Client.CallsPerConnection)
	assert.Equal(t, int64(5), c.Client.MaxMessageSize)
	assert.True(t, c.Client.TLS.InsecureSkipVerify)
	assert.Equal(t, "http://proxy:3128", c.Client.ProxyURL.String())
	assert.Equal(t, "b", c.Client.Headers.Get("X-A"))
	assert.Equal(t, 6*time.Second, c.Client.InitialBackOff)
	assert.Equal(t, 7*time.Second, c.Client.MaxBackOff)
}

func TestOnlyTheAddressIsRequired(t *testing.T) {
	c, err := parse(t, `{ address: ws://host/path }`)
	require.NoError(t, err)
	assert.Equal(t, 8, c.MaxConnections)
	assert.Equal(t, wsx.GatewayAuto, c.Client.Gateway)
	assert.Equal(t, 10*time.Second, c.Client.Timeout)
	assert.Nil(t, c.Client.TLS)
	assert.Nil(t, c.Client.ProxyURL)
}

func TestErrorsNameTheirField(t *testing.T) {
	for field, yaml := range map[string]string{
		"address: is empty":                              `{ address: '' }`,
		"address: has the scheme":                        `{ address: 'http://host/path' }`,
		"address: contains a user":                       `{ address: 'ws://user:hidden@host/path' }`,
		"address: is ws://":                              `{ address: 'ws://host/path', tls: { enabled: true } }`,
		`gateway: is "none": use`:                        `{ address: 'ws://host/path', gateway: none }`,
		"attributes":                                     `{ address: 'ws://host/path', attributes: { 'a=b': c } }`,
		"timeout: is 0s":                                 `{ address: 'ws://host/path', timeout: 0s }`,
		"max_connections: is 0":                          `{ address: 'ws://host/path', max_connections: 0 }`,
		"max_message_size: is -1":                        `{ address: 'ws://host/path', max_message_size: -1 }`,
		"calls_per_connection: is":                       `{ address: 'ws://host/path', calls_per_connection: 0 }`,
		"proxy_url: is not":                              `{ address: 'ws://host/path', proxy_url: 'user:hidden@%zz' }`,
		"only one of secret, secret_env and secret_file": `{ address: 'ws://h', secret: hidden, secret_env: V }`,
		"secret: set only one of":                        `{ address: 'ws://h', secret: hidden, secret_file: /hidden }`,
		"secret: set only":                               `{ address: 'ws://h', secret_env: V, secret_file: /hidden }`,
		"max_interval: is -1s":                           `{ address: 'ws://host/path', backoff: { max_interval: -1s } }`,
	} {
		_, err := parse(t, yaml)
		require.ErrorContains(t, err, field, yaml)
		assert.NotContains(t, err.Error(), "hidden")
		assert.Contains(t, err.Error(), "connection")
	}
}

func TestKeyIsTheSameForEqualSettingsAndHidesTheSecret(t *testing.T) {
	defaults, err := parse(t, `{ address: ws://host/path, secret: hidden }`)
	require.NoError(t, err)
	explicit, err := parse(t, `{ secret: hidden, timeout: 10s, max_connections: 8, address: ws://host/path }`)
	require.NoError(t, err)
	other, err := parse(t, `{ address: ws://host/path, secret: other }`)
	require.NoError(t, err)
	assert.Equal(t, defaults.Key(), explicit.Key())
	assert.NotEqual(t, defaults.Key(), other.Key())
	assert.NotContains(t, defaults.Key(), "hidden")
}

func TestLinterRejectsWhatTheParserRejects(t *testing.T) {
	lint := newLinter(t)
	for finding, yaml := range map[string]string{
		"":                                 `{ address: 'wss://h', tls: { enabled: true }, timeout: 1s, secret_env: V }`,
		"address: is empty":                `{ address: '' }`,
		"address: has the scheme":          `{ address: 'http://host/path' }`,
		"contains a user":                  `{ address: 'ws://user:hidden@host/path' }`,
		"tls is enabled":                   `{ address: 'ws://host/path', tls: { enabled: true } }`,
		"must be longer than zero":         `{ address: 'ws://host/path', timeout: 0s }`,
		"must be at least 1":               `{ address: 'ws://host/path', max_connections: 0 }`,
		"value none is not a valid option": `{ address: 'ws://host/path', gateway: none }`,
		"only one of secret, secret_env and secret_file": `{ address: 'ws://h', secret: hidden, secret_env: V }`,
		"only one of secret,":                            `{ address: 'ws://host/path', secret: hidden, secret_file: /f }`,
		"only one of secret":                             `{ address: 'ws://host/path', secret_env: V, secret_file: /f }`,
		"pasword":                                        `{ address: 'ws://host/path', pasword: typo }`,
	} {
		lints := lint(yaml)
		if finding == "" {
			assert.Empty(t, lints)
		} else {
			assert.Contains(t, lints, finding, yaml)
		}
		assert.NotContains(t, lints, "hidden")
	}
}
