package wsx_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// FuzzFrames sends each line of the input to a client as a frame. The client may lose its
// connection, but must answer calls afterwards.
func FuzzFrames(f *testing.F) {
	network := wsxtest.NewNetwork()
	server := wsxtest.NewServer(wsxtest.WithNetwork(network), wsxtest.WithTranscriptServer())
	require.NoError(f, server.Start())
	f.Cleanup(server.Close)
	c, err := wsx.New(wsx.Config{
		Address: server.URL(patchedPath), Username: "user1", Secret: "secret1", Dial: network.Dial,
		InitialBackOff: time.Millisecond, MaxBackOff: 5 * time.Millisecond,
	})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, c.Close()) })
	go func() {
		for {
			if _, err := c.Receive(context.Background()); err != nil {
				return // closed
			}
		}
	}()

	recordings, err := transcript.LoadAll("../wsxtest/testdata/transcripts")
	require.NoError(f, err)
	for _, recording := range recordings {
		for _, e := range recording.Events {
			if e.Dir != "server" || e.Frame != "text" {
				continue
			}
			frame, err := e.Bytes()
			require.NoError(f, err)
			f.Add(bytes.ReplaceAll(frame, []byte("\n"), nil))
		}
	}
	f.Add([]byte("{}\nnull\n[]\n\"\"\n{\"meta\": {\"msg_type\": \"zwsx.merr\"}}"))

	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		require.NoError(t, c.AwaitReady(ctx))
		for line := range bytes.Lines(data) {
			server.SendRaw(line)
		}
		for {
			if _, err := c.Invoke(ctx, "my.echo", "hello"); err == nil {
				return
			}
			require.NoError(t, ctx.Err(), "the client no longer answers calls")
		}
	})
}
