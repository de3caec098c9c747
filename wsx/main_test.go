package wsx_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The channels of the recorded server.
const (
	stock   = "/my.wsx"
	patched = "/my.wsx.cid"
	short   = "/my.wsx.short" // token 5 s, ping 2 s, 2 misses
	single  = "/my.echo"
)

// lab is a server in memory and what its clients log, in a bubble whose time is
// virtual.
type lab struct {
	*wsxtest.Server

	t       *testing.T
	network *wsxtest.Network
	log     logtest.Buffer
}

// inLab runs a test in a bubble of its own.
func inLab(t *testing.T, test func(*lab), opts ...wsxtest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, network: wsxtest.NewNetwork()}
		l.Server = wsxtest.NewServer(append([]wsxtest.Option{
			wsxtest.WithNetwork(l.network), wsxtest.WithTranscriptServer(),
		}, opts...)...)
		require.NoError(t, l.Start())
		defer l.Close()
		test(l)
	})
}

// config is how to reach a channel of the lab.
func (l *lab) config(path string) wsx.Config {
	return wsx.Config{
		Address: l.URL(path), Username: "user1", Secret: "secret1", ClientID: "client.a", ClientName: "My a",
		Dial: l.network.Dial, Logger: slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// client makes a client that is closed when the test ends.
func (l *lab) client(path string, changes ...func(*wsx.Config)) *wsx.Client {
	l.t.Helper()
	cfg := l.config(path)
	for _, change := range changes {
		change(&cfg)
	}
	c, err := wsx.New(cfg)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { require.NoError(l.t, c.Close()) })
	return c
}

// ready is a client that is connected.
func (l *lab) ready(path string, changes ...func(*wsx.Config)) *wsx.Client {
	l.t.Helper()
	c := l.client(path, changes...)
	require.NoError(l.t, c.AwaitReady(l.t.Context()))
	return c
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// within is a context with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
