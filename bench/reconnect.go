package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	groupReconnect = "reconnect"
	// stableTime is a little more than the time that a connection must last before the
	// client reconnects to it without a delay.
	stableTime = 1100 * time.Millisecond
)

func reconnectFigures() []figure {
	ms := unit{"ms", float64(time.Millisecond)}
	return []figure{
		{
			group: groupReconnect, name: "median of 100 times from a reset to resubscribed", unit: ms,
			goal: atMost(ms.scale), ours: resubscribeTime(0.5),
		},
		{
			group: groupReconnect, name: "worst of 100 times from a reset to resubscribed", unit: ms,
			goal: atMost(5 * ms.scale), ours: resubscribeTime(1),
		},
		{
			group: groupReconnect, name: "1000 clients disconnected for 2 s: attempts in the busiest 100 ms after the first",
			unit: unit{"of all attempts", 1}, goal: atMost(0.2), ours: massDisconnect,
		},
	}
}

// resubscribeTime resets the connections of 100 clients one after the other. It measures a
// quantile of the times until each is subscribed again.
func resubscribeTime(quantile float64) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		var clients []*subscriber
		end := func() {
			for _, c := range clients {
				_ = c.Close()
			}
		}
		for range 100 {
			c, err := subscribe(ctx, s)
			if err != nil {
				end()
				return nil, nil, err
			}
			clients = append(clients, c)
		}
		return func(ctx context.Context, _ time.Duration) (float64, error) {
			<-time.After(stableTime)
			var times []float64
			for _, c := range clients {
				took, err := c.resetConn(ctx, s)
				if err != nil {
					return 0, err
				}
				times = append(times, float64(took))
			}
			slices.Sort(times)
			return times[int(quantile*float64(len(times)-1))], nil
		}, end, nil
	}
}

// A subscriber is a client with one subscription, and the server's end of its connection.
type subscriber struct {
	*wsx.Client

	serverConn *pushConn
	ready      chan time.Time
}

func subscribe(ctx context.Context, s *server) (*subscriber, error) {
	c := &subscriber{ready: make(chan time.Time, 1)}
	var err error
	c.Client, err = wsx.New(wsx.Config{Address: s.url("/zato/0s"), OnState: func(state wsx.State, _ error) {
		if state == wsx.Ready {
			c.ready <- time.Now()
		}
	}})
	if err != nil {
		return nil, err
	}
	if _, err = c.Subscribe(ctx, wsx.Subscription{Topic: "/bench"}); err == nil {
		<-c.ready
		c.serverConn, err = s.awaitPushConn(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// resetConn resets the connection at the server and returns the time until the client is
// subscribed again.
func (c *subscriber) resetConn(ctx context.Context, s *server) (time.Duration, error) {
	start := time.Now()
	if err := c.serverConn.reset(); err != nil {
		return 0, err
	}
	var err error
	if c.serverConn, err = s.awaitPushConn(ctx); err != nil {
		return 0, err
	}
	select {
	case readyAt := <-c.ready:
		return readyAt.Sub(start), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// massDisconnect disconnects 1000 clients and refuses them for 2 seconds. It measures the
// share of all connection attempts that fall into the busiest window of 100 ms, not
// counting the first window.
func massDisconnect(ctx context.Context, s *server) (meter, func(), error) {
	clients, end, err := openClients(ctx, wsx.Config{Address: s.url("/zato/0s")}, 1000)
	return func(ctx context.Context, _ time.Duration) (float64, error) {
		<-time.After(stableTime)
		start := time.Now()
		s.goDown()
		<-time.After(2 * time.Second)
		attempts := s.comeUp()
		windows := map[time.Duration]int{}
		busiest := 0
		for _, at := range attempts {
			if window := at.Sub(start) / (100 * time.Millisecond); window > 0 {
				windows[window]++
				busiest = max(busiest, windows[window])
			}
		}
		for _, c := range clients {
			if err := c.AwaitReady(ctx); err != nil {
				return 0, err // the client has not reconnected
			}
		}
		return float64(busiest) / float64(len(attempts)), nil
	}, end, err
}
