package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/simulator"
	"github.com/zato-connect/zato-connect/wsx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a stream with a simulator until the test ends.
func start(t *testing.T, yaml string) {
	t.Helper()
	require.Empty(t, lint(t, yaml))
	stream, err := build(t, yaml)
	require.NoError(t, err)
	runDone := make(chan error)
	go func() { runDone <- stream.Run(context.Background()) }()
	t.Cleanup(func() {
		assert.NoError(t, stream.StopWithin(10*time.Second))
		<-runDone
	})
}

func build(t *testing.T, yaml string) (*service.Stream, error) {
	t.Helper()
	env := service.NewEnvironment()
	require.NoError(t, simulator.Register(env))
	b := env.NewStreamBuilder()
	b.SetSchema(env.FullConfigSchema("", ""))
	b.DisableLinting() // so that the constructor gets what the linter rejects
	require.NoError(t, b.SetYAML(yaml+`
input: { generate: { mapping: 'root = deleted()', interval: 1h } }
output: { drop: {} }
logger: { level: NONE }
http: { enabled: false }
`))
	return b.Build()
}

func lint(t *testing.T, yaml string) []service.Lint {
	t.Helper()
	env := service.NewEnvironment()
	require.NoError(t, simulator.Register(env))
	lints, err := env.FullConfigSchema("", "").NewStreamConfigLinter().LintYAML([]byte(yaml))
	require.NoError(t, err)
	return lints
}

func client(t *testing.T, address string, secret wsx.Secret) *wsx.Client {
	t.Helper()
	c, err := wsx.New(wsx.Config{Address: "ws://" + address + "/sim", Username: "user", Secret: secret, ClientID: "me"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func config(address, gateway string) string {
	return `
zato_wsx_simulators:
  - label: zato
    address: ` + address + `
    path: /sim
    username: user
    secret: right
    gateway: ` + gateway + `
    services:
      demo.upper: 'root.name = this.name.uppercase()'
      demo.caller: 'root = @zato_service + " by " + @zato_client_id'
      demo.fail: 'root = throw("no")'
      demo.nothing: 'root = deleted()'
`
}

func TestServicesRunTheirMappings(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, config(address, "patched"))
	c := client(t, address, "right")
	for service, expected := range map[string]string{
		"demo.upper":   `{"name":"ZOË"}`,
		"demo.caller":  `"demo.caller by me"`,
		"demo.nothing": `""`,
		"zato.ping":    `{"pong":"zato"}`,
	} {
		answer, err := c.Invoke(t.Context(), service, map[string]string{"name": "Zoë"})
		require.NoError(t, err, service)
		assert.JSONEq(t, expected, string(answer), service)
	}
	_, err := c.Invoke(t.Context(), "demo.fail", map[string]string{"name": "x"})
	var serverErr *wsx.ServerError
	require.ErrorAs(t, err, &serverErr)
	assert.Equal(t, 500, serverErr.Status)
	assert.NotContains(t, err.Error(), "no\"", "the answer contains the error")
}

func TestSimulatorHasEveryTopicAndChecksTheSecret(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, config(address, "patched"))
	require.ErrorIs(t, client(t, address, "wrong").AwaitReady(t.Context()), wsx.ErrLoginRefused)

	c := client(t, address, "right")
	_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: "/any/topic"})
	require.NoError(t, err)
	id, err := c.Publish(t.Context(), wsx.Publication{Topic: "/any/topic", Data: "hello"})
	require.NoError(t, err)
	frame, err := c.Receive(t.Context())
	require.NoError(t, err)
	assert.Equal(t, id, frame.Messages[0].MsgID)
}

func TestMeasuredCostsTakeTime(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, strings.Replace(config(address, "connect"), "gateway:", "measured_costs: true\n    gateway:", 1))
	c := client(t, address, "right")
	began := time.Now()
	for range 20 {
		_, err := c.Publish(t.Context(), wsx.Publication{Topic: "/any/topic", Data: "hello"})
		require.NoError(t, err)
	}
	assert.GreaterOrEqual(t, time.Since(began), 20*6*time.Millisecond)
}

func TestStockGatewayDoesNotResume(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, config(address, "stock"))
	err := client(t, address, "right").Resume(t.Context(), wsx.Subscription{Topic: "/t", Key: "zpsk.wsx.x.1"})
	require.ErrorIs(t, err, wsx.ErrResumeFailed)
}

func TestGatewayHasTheCompanionUnlessItIsAnother(t *testing.T) {
	for field, hasCompanion := range map[string]bool{
		"": true, "gateway: connect": true, "gateway: patched": false, "gateway: stock": false,
	} {
		address := streamtest.FreeAddress(t)
		start(t, `
zato_wsx_simulators:
  - label: zato
    address: `+address+`
    path: /sim
    username: user
    secret: right
    `+field)
		_, err := client(t, address, "right").Invoke(t.Context(), "connect.describe", nil)
		assert.Equal(t, hasCompanion, err == nil, field)
	}
}

func TestMappingsGetRequestsUnchanged(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, `
zato_wsx_simulators:
  - { label: zato, address: '`+address+`', path: /sim, username: user, secret: right,
      services: { echo: 'root = this' } }
`)
	big := json.RawMessage(`{"n":12345678901234567890}`)
	answer, err := client(t, address, "right").Invoke(t.Context(), "echo", big)
	require.NoError(t, err)
	assert.JSONEq(t, string(big), string(answer))
}

func TestSimulatorSendsRequestsAndPublishesTheAnswers(t *testing.T) {
	address := streamtest.FreeAddress(t)
	start(t, `
zato_wsx_simulators:
  - label: zato
    address: `+address+`
    path: /sim
    username: user
    secret: right
    requests:
      - client_id: answerer
        interval: 10ms
        mapping: 'root = if @number > 3 { deleted() } else if @number == 2 { "two" } else { { "n": @number } }'
        answers_topic: /answers
`)
	answerer, err := wsx.New(wsx.Config{
		Address: "ws://" + address + "/sim", Username: "user", Secret: "right", ClientID: "answerer",
		OnRequest: func(_ context.Context, r *wsx.ServerRequest) (any, error) { return []json.RawMessage{r.Data}, nil },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, answerer.Close()) })
	subscriber := client(t, address, "right")
	_, err = subscriber.Subscribe(t.Context(), wsx.Subscription{Topic: "/answers"})
	require.NoError(t, err)
	require.NoError(t, answerer.AwaitReady(t.Context()))

	var got []string
	for len(got) < 3 {
		frame, err := subscriber.Receive(t.Context())
		require.NoError(t, err)
		for _, m := range frame.Messages {
			got = append(got, string(m.Data))
		}
	}
	assert.Equal(t, []string{
		`{"answer":[{"n":1}],"request":{"n":1}}`,
		`{"answer":["two"],"request":"two"}`,
		`{"answer":[{"n":3}],"request":{"n":3}}`,
	}, compact(t, got))
}

// compact removes the indentation of the server.
func compact(t *testing.T, texts []string) []string {
	t.Helper()
	var out []string
	for _, text := range texts {
		var b bytes.Buffer
		require.NoError(t, json.Compact(&b, []byte(text)))
		out = append(out, b.String())
	}
	return out
}

func TestConfigurationErrorsNameTheField(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	for name, c := range map[string]struct{ yaml, expected string }{
		"invalid mapping": {
			yaml:     "zato_wsx_simulators: [ { label: z, address: '127.0.0.1:0', services: { demo.bad: 'root = (' } } ]",
			expected: "demo.bad",
		},
		"requests without a client_id": {
			yaml: "zato_wsx_simulators: [ { label: z, address: '127.0.0.1:0', " +
				"requests: [ { client_id: '', mapping: 'root = 1' } ] } ]",
			expected: "requests.0",
		},
		"interval of zero": {
			yaml: "zato_wsx_simulators: [ { label: z, address: '127.0.0.1:0', " +
				"requests: [ { client_id: a, interval: 0s, mapping: 'root = 1' } ] } ]",
			expected: "interval",
		},
		"address in use": {
			yaml:     "zato_wsx_simulators: [ { label: z, address: '" + listener.Addr().String() + "' } ]",
			expected: "address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := build(t, c.yaml)
			if err == nil {
				err = stream.Run(t.Context())
			}
			require.ErrorContains(t, err, c.expected)
		})
	}
}

func TestLinterAndConstructorAgreeOnTheMappingsOfServices(t *testing.T) {
	for mapping, position := range map[string]string{
		"root = this.name.uppercase()":        "",
		"root = this\nroot.a = @zato_service": "",
		"root = ":                             "line 1, column 8: ",
		"root = this\nroot.a = nosuch()":      "line 2, column 18: ",
		"":                                    "line 1, column 1: ",
	} {
		t.Run(mapping, func(t *testing.T) {
			yaml := fmt.Sprintf("zato_wsx_simulators: "+
				"[ { label: s, address: %q, services: { my.good: root = 1, my.demo: %q } } ]\n",
				streamtest.FreeAddress(t), mapping)
			if position == "" {
				assert.Empty(t, lint(t, yaml))
				stream, err := build(t, yaml)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				require.ErrorIs(t, stream.Run(ctx), context.Canceled, "Run returns but does not stop the stream")
				require.NoError(t, stream.StopWithin(streamtest.Timeout))
				return
			}
			problem := "services.my.demo: parsing the mapping: " + position
			lints := lint(t, yaml)
			require.Len(t, lints, 1)
			assert.Contains(t, lints[0].Error(), problem)
			_, err := build(t, yaml)
			require.ErrorContains(t, err, problem)
		})
	}
}
