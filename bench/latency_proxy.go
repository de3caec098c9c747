package main

import (
	"context"
	"net"
	"time"
)

// distance is how long data takes to a far server and back.
const distance = 10 * time.Millisecond

// putRemote gives a server that listens at an address another address, from which it is
// far away, until the listener is closed.
func putRemote(ctx context.Context, address string, c *preciseTimer) (net.Listener, error) {
	listen, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := listen.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go c.carry(server, client)
			go c.carry(client, server)
		}
	}()
	return listen, nil
}

// chunk is data on its way.
type chunk struct {
	data []byte
	due  time.Time
}

// carry brings data from one end to the other, each piece half the distance later, and
// the end of the data too.
func (c *preciseTimer) carry(to, from net.Conn) {
	way := make(chan chunk, 1024)
	go func() {
		defer to.Close() //nolint:errcheck // nothing is left to bring
		for p := range way {
			c.await(p.due)
			_, _ = to.Write(p.data) // what cannot be brought is seen at the other end
		}
	}()
	defer close(way)
	for {
		piece := make([]byte, 16<<10)
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		way <- chunk{piece[:n], time.Now().Add(distance / 2)}
	}
}
