package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// bridgeTimeout limits how long a test waits for an event of a bridge.
const bridgeTimeout = 30 * time.Second

// bridge is a process that runs an example.
type bridge struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    logtest.Buffer
	ended  chan error
	exited bool
}

// startBridge runs an example. It is stopped when the test ends.
func startBridge(t *testing.T, example string, env ...string) *bridge {
	t.Helper()
	b := &bridge{t: t, ended: make(chan error, 1)}
	b.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, "run", "examples/"+example)
	b.cmd.Env = append(append(os.Environ(), "METRICS_ADDRESS=127.0.0.1:0"), env...)
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	require.NoError(t, b.cmd.Start())
	go func() { b.ended <- b.cmd.Wait() }()
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", example, b.log.String())
		}
	})
	return b
}

// stop stops the bridge with SIGTERM, as a service manager does. It must exit with 0.
func (b *bridge) stop() {
	b.t.Helper()
	if b.exited {
		return
	}
	require.NoError(b.t, b.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(b.t, b.awaitExit(), "%s", b.log.String())
}

// interrupt stops the bridge with SIGTERM. Its exit status may be another than 0, because
// it may have to give up messages.
func (b *bridge) interrupt() {
	b.t.Helper()
	require.NoError(b.t, b.cmd.Process.Signal(syscall.SIGTERM))
	_ = b.awaitExit()
}

// kill stops the bridge with SIGKILL.
func (b *bridge) kill() {
	b.t.Helper()
	require.NoError(b.t, b.cmd.Process.Kill())
	require.Error(b.t, b.awaitExit())
}

// awaitExit waits until the bridge exits and returns the error of its Wait method.
func (b *bridge) awaitExit() error {
	b.t.Helper()
	b.exited = true
	select {
	case err := <-b.ended:
		return err
	case <-time.After(bridgeTimeout):
		_ = b.cmd.Process.Kill()
		require.Fail(b.t, "the bridge did not exit", b.log.String())
		return nil
	}
}

// awaitLog waits until the log of the bridge contains a text.
func (b *bridge) awaitLog(text string) {
	b.t.Helper()
	eventually(b.t, func() bool { return strings.Contains(b.log.String(), text) }, "not logged: "+text)
}

// eventually waits until a condition is true.
func eventually(t *testing.T, condition func() bool, failure string) {
	t.Helper()
	require.Eventually(t, condition, bridgeTimeout, 5*time.Millisecond, failure)
}

// startZato starts a server with the companion services and topics with guaranteed delivery.
func startZato(t *testing.T, options ...wsxtest.Option) *wsxtest.Server {
	t.Helper()
	options = append([]wsxtest.Option{
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/bridge", Username: "bridge", Secret: "s3cr3t", Gateway: wsxtest.Connect,
			NoPublish: []string{"/forbidden"},
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/in", GuaranteedDelivery: true}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/out", GuaranteedDelivery: true}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/forbidden"}),
		wsxtest.WithDeliveryInterval(20 * time.Millisecond),
	}, options...)
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// startPatched starts a server as startZato does, but with a gateway that has no companion
// services.
func startPatched(t *testing.T) *wsxtest.Server {
	t.Helper()
	return startZato(t, withPatchedGateway())
}

func withPatchedGateway() wsxtest.Option {
	return wsxtest.WithChannel(wsxtest.Channel{Path: "/bridge", Username: "bridge", Secret: "s3cr3t"})
}

// zatoEnv returns the environment variables with which an example connects to a server.
func zatoEnv(server *wsxtest.Server, extra ...string) []string {
	return append([]string{
		"ZATO_WSX_ADDRESS=" + server.URL("/bridge"), "ZATO_WSX_USERNAME=bridge", "ZATO_WSX_SECRET=s3cr3t",
	}, extra...)
}

// awaitPublished waits until at least n messages were published to a topic and returns
// their contents.
func awaitPublished(t *testing.T, server *wsxtest.Server, topic string, n int) []string {
	t.Helper()
	var out []string
	enough := func() bool {
		out = nil
		for _, m := range server.Published() {
			if m.Topic == topic {
				out = append(out, textOf(t, m.Data))
			}
		}
		return len(out) >= n
	}
	if !assert.Eventually(t, enough, bridgeTimeout, 5*time.Millisecond) {
		require.Fail(t, "not published", "%d messages to %s, only %d: %s", n, topic, len(out), out)
	}
	return out
}

// textOf returns the content of a message, which is a JSON string.
func textOf(t *testing.T, data json.RawMessage) string {
	t.Helper()
	var s string
	require.NoError(t, json.Unmarshal(data, &s), "%s", data)
	return s
}

func publish(t *testing.T, server *wsxtest.Server, content string, opts ...wsxtest.PublishOptions) string {
	t.Helper()
	id, err := server.Publish("/in", content, append(opts, wsxtest.PublishOptions{})[0])
	require.NoError(t, err)
	return id
}

// awaitSubscription waits until the server has one subscription that is fetched or attached to
// a connection. It returns the key of the subscription.
func awaitSubscription(t *testing.T, server *wsxtest.Server) string {
	t.Helper()
	var subs []wsxtest.SubscriptionInfo
	eventually(t, func() bool {
		subs = server.Subscriptions()
		return len(subs) == 1 && (subs[0].Attached || subs[0].Name != "")
	}, "no subscription")
	return subs[0].SubKey
}

// awaitFetched waits until a bridge has fetched n messages of the server's one subscription
// and has not confirmed them.
func awaitFetched(t *testing.T, server *wsxtest.Server, n int) {
	t.Helper()
	eventually(t, func() bool { return server.Subscriptions()[0].Unconfirmed == n }, "not fetched")
}
