package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// This test does not check speed. The simulator takes less time than a server.
func TestEveryComparisonRunsOnTheSimulator(t *testing.T) {
	t.Setenv("ZATO_WSX_USERNAME", "user1")
	t.Setenv("ZATO_WSX_SECRET", "secret1")
	server := wsxtest.NewServer(
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/connect", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/gd", GuaranteedDelivery: true}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/gd.quiet", GuaranteedDelivery: true}),
		wsxtest.WithService("my.echo", wsxtest.Echo), wsxtest.WithService("my.sleep", wsxtest.Echo),
	)
	require.NoError(t, server.Start())
	defer server.Close()
	z, err := openZato(t.Context(), &options{zato: zatoOptions{
		address: server.URL("/connect"), topic: "/gd", backlog: 1000, singles: 1, records: 800,
	}})
	require.NoError(t, err)
	defer z.close()
	for _, c := range z.comparisons() {
		results, err := c.run(t.Context(), 1, time.Millisecond)
		require.NoError(t, err)
		assert.NotEmpty(t, results)
		for _, r := range results {
			if r.hasGoal() && r.Ratio == nil && r.Goal == 0 {
				assert.Zero(t, r.Ours.Median, r.Name)
			} else {
				assert.Positive(t, r.Ours.Median, r.Name)
			}
		}
	}
}
