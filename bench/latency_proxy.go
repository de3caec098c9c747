package main

import (
	"context"
	"net"
	"time"
)

// roundTrip is the round-trip time through the latency proxy.
const roundTrip = 10 * time.Millisecond

// startLatencyProxy returns a listener that forwards connections to address and delays data
// by half of roundTrip in each direction. Closing the listener stops it.
func startLatencyProxy(ctx context.Context, address string, timer *preciseTimer) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go timer.forward(server, client)
			go timer.forward(client, server)
		}
	}()
	return listener, nil
}

// A chunk is data in transit.
type chunk struct {
	data []byte
	due  time.Time
}

// forward copies data from src to dst. It delays each chunk by half of roundTrip, and the
// end of the data too.
func (t *preciseTimer) forward(dst, src net.Conn) {
	inTransit := make(chan chunk, 1024)
	go func() {
		defer dst.Close() //nolint:errcheck // all data has been written
		for c := range inTransit {
			t.sleepUntil(c.due)
			_, _ = dst.Write(c.data) // the other end notices what is missing
		}
	}()
	defer close(inTransit)
	for {
		buf := make([]byte, 16<<10)
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		inTransit <- chunk{buf[:n], time.Now().Add(roundTrip / 2)}
	}
}
