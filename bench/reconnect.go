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
	// lasting is a little more than how long a connection must have lasted for the
	// next attempt to be made at once.
	lasting = 1100 * time.Millisecond
)

func reconnectFigures() []figure {
	ms := unit{"ms", float64(time.Millisecond)}
	return []figure{
		{
			group: groupReconnect, name: "median of 100 from a reset to subscribed again", unit: ms,
			goal: atMost(ms.scale), ours: resets(0.5),
		},
		{
			group: groupReconnect, name: "worst of 100 from a reset to subscribed again", unit: ms,
			goal: atMost(5 * ms.scale), ours: resets(1),
		},
		{
			group: groupReconnect, name: "1000 thrown off for 2 s: tries in the fullest 100 ms after the first",
			unit: unit{"of all", 1}, goal: atMost(0.2), ours: massDisconnect,
		},
	}
}

// resets measures a quantile of how long 100 clients take to be subscribed again, one
// after the other.
func resets(quantile float64) opener {
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
			<-time.After(lasting)
			var took []float64
			for _, c := range clients {
				one, err := c.reset(ctx, s)
				if err != nil {
					return 0, err
				}
				took = append(took, float64(one))
			}
			slices.Sort(took)
			return took[int(quantile*float64(len(took)-1))], nil
		}, end, nil
	}
}

// subscriber is a client and its connection at the server.
type subscriber struct {
	*wsx.Client

	peer  *reader
	ready chan time.Time
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
		c.peer, err = s.awaitReader(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// reset resets the connection and returns how long it takes to be subscribed again.
func (c *subscriber) reset(ctx context.Context, s *server) (time.Duration, error) {
	began := time.Now()
	if err := c.peer.cut(); err != nil {
		return 0, err
	}
	var err error
	if c.peer, err = s.awaitReader(ctx); err != nil {
		return 0, err
	}
	select {
	case at := <-c.ready:
		return at.Sub(began), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// massDisconnect measures how much the tries of clients to come back crowd.
func massDisconnect(ctx context.Context, s *server) (meter, func(), error) {
	clients, end, err := openClients(ctx, wsx.Config{Address: s.url("/zato/0s")}, 1000)
	return func(ctx context.Context, _ time.Duration) (float64, error) {
		<-time.After(lasting)
		began := time.Now()
		s.leave()
		<-time.After(2 * time.Second)
		tries := s.comeBack()
		windows := map[time.Duration]int{}
		fullest := 0
		for _, at := range tries {
			if window := at.Sub(began) / (100 * time.Millisecond); window > 0 {
				windows[window]++
				fullest = max(fullest, windows[window])
			}
		}
		for _, c := range clients {
			if err := c.AwaitReady(ctx); err != nil {
				return 0, err // it did not come back
			}
		}
		return float64(fullest) / float64(len(tries)), nil
	}, end, err
}
