package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// newLinter returns a linter that knows a component with only a connection.
func newLinter(t *testing.T) func(yaml string) string {
	t.Helper()
	env := service.NewEnvironment()
	require.NoError(t, env.RegisterInput("under_test", spec,
		func(*service.ParsedConfig, *service.Resources) (service.Input, error) { return nil, nil }))
	linter := env.NewComponentConfigLinter()
	return func(yaml string) string {
		lints, err := linter.LintInputYAML([]byte("under_test: { connection: " + yaml + " }"))
		require.NoError(t, err)
		var all strings.Builder
		for _, l := range lints {
			all.WriteString(l.Error() + "\n")
		}
		return all.String()
	}
}

func TestLinterAndConstructorAgreeOnAddresses(t *testing.T) {
	lint := newLinter(t)
	for problem, addresses := range map[string][]string{
		"": {
			"ws://host/path", "wss://host/path", "WS://host/path", "ws://host", "ws://host?a=b", "ws://host:1/path",
			"ws://host:65535/path", "ws://host:080/path", "ws://10.0.0.1:48902/path", "ws://[::1]/path",
			"wss://[::1]:48902/path", "ws://[fe80::1%25eth0]:48902/path", "ws://hóst/path", "ws://host_name/path",
			"ws://host/a:b", "ws://host/a@b", "ws://host/?time=10:20:30", "ws://host/a b", "ws://host/?%zz",
		},
		"is empty": {""},
		"contains a user": {
			"ws://user:hidden@host/path", "ws://user@host", "ws://@host/path", "ws://user:hidden@ho st/path", "ws://a@b@c/path",
		},
		"has an IPv6 address without brackets": {
			"ws://::1/path", "ws://::1:48902/path", "wss://fe80::1/path", "ws://::/path", "ws://host:80:90/path",
		},
		"has an invalid port": {
			"ws://host:0/path", "ws://host:000/path", "ws://host:65536/path", "ws://host:99999999999999999999/path",
			"ws://host:port/path", "ws://host:-1/path", "ws://host:+80/path", "ws://host:8e1/path", "ws://host:80.5/path",
			"ws://host:/path", "ws://host:", "ws://host:?a=b", "ws://host:８０/path", "ws://[::1]:65536/path", "ws://[::1]:/path",
		},
		"is not a URL": {
			"ws://ho st/path", "ws://[::1/path", "ws://[]/path", "ws://[host]/path", "ws://[1.2.3.4]/path", "ws://host\\x/path",
			"ws://host/%zz", " ws://host/path", "ws://host/path\n", "ws://host/\tpath", "ws://[::1]80/path", "1ws://host/path",
		},
		"has the scheme": {
			"http://host/path", "https://host:99999/path", "host:80/path", "localhost/path", "//host/path", "/path",
		},
		"has no host": {"ws:///path", "ws://", "ws://:48902/path", "wss://?a=b", "ws:path"},
	} {
		for _, address := range addresses {
			yaml := fmt.Sprintf("{ address: %q }", address)
			_, err := parse(t, yaml)
			lints := lint(yaml)
			if problem == "" {
				require.NoError(t, err, address)
				assert.Empty(t, lints, address)
				continue
			}
			var invalid *wsx.InvalidError
			require.ErrorAs(t, err, &invalid, address)
			assert.Contains(t, invalid.Problem, problem, address)
			assert.Contains(t, lints, invalid.Error(), address)
			assert.NotContains(t, err.Error()+lints, "hidden")
		}
	}
}

func TestLinterAndConstructorAgreeOnDurations(t *testing.T) {
	lint := newLinter(t)
	for problem, durations := range map[string][]string{
		"": {
			"1ms", "1000us", "1000µs", "0.5s", ".5s", "5.s", "+5s", "1h30m", "0h0m1s", "1000000ns", "999us1us", "010s",
		},
		"must be longer than zero": {"0", "0s", "00ms", "-1s", "-0s"},
		"must be 1ms or longer":    {"999us", "1ns", "0.0s", "0h0m", "0.9ms"},
		"is not a duration":        {"10", "abc", "1 s", "1d", "1s ", "s", "1.2.3s", ""},
	} {
		for _, duration := range durations {
			yaml := fmt.Sprintf("{ address: 'ws://host', timeout: %q }", duration)
			_, err := parse(t, yaml)
			if problem == "" {
				require.NoError(t, err, duration)
				assert.Empty(t, lint(yaml), duration)
				continue
			}
			require.ErrorContains(t, err, "timeout", duration)
			assert.Contains(t, lint(yaml), problem, duration)
		}
	}
}

func TestLinterAndConstructorAgreeOnProxiesAndAttributes(t *testing.T) {
	lint := newLinter(t)
	for yaml, problem := range map[string]string{
		`proxy_url: ''`:                                     "",
		`proxy_url: http://proxy:3128`:                      "",
		`proxy_url: socks5://user:hidden@proxy:1080`:        "",
		`proxy_url: proxy`:                                  "proxy_url: is not a URL with a host",
		`proxy_url: proxy:3128`:                             "proxy_url: is not a URL with a host",
		`proxy_url: 'http://user:hidden@%zz'`:               "proxy_url: is not a URL with a host",
		`attributes: {}`:                                    "",
		`attributes: { region: eu, shard: '7', empty: '' }`: "",
		`attributes: { region: a=b }`:                       "",
		`attributes: { '': eu }`:                            `attributes: "": a key must not be empty or contain "="`,
		`attributes: { a=b: eu }`:                           `attributes: "a=b": a key must not be empty or contain "="`,
		`attributes: { "a\nb": eu }`:                        `attributes: "a\nb": a key must not be empty or contain "="`,
		`attributes: { region: "e\ru" }`:                    `attributes: "region": a key must not be empty or contain "="`,
	} {
		yaml = "{ address: 'ws://host', " + yaml + " }"
		_, err := parse(t, yaml)
		lints := lint(yaml)
		if problem == "" {
			require.NoError(t, err, yaml)
			assert.Empty(t, lints, yaml)
			continue
		}
		require.ErrorContains(t, err, problem, yaml)
		assert.Contains(t, lints, problem, yaml)
		assert.NotContains(t, err.Error()+lints, "hidden")
	}
}
