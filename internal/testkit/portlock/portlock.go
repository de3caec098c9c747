// Package portlock reserves TCP ports for servers that are not always listening.
package portlock

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// acceptTimeout limits how long the connection to the listener may take.
const acceptTimeout = 10 * time.Second

// Reserve reserves the port of a TCP listener until the returned function is called.
// The reservation outlives the listener. The system then gives the port only to
// listeners that name it, not to those that let the system choose a port. While there
// is no listener, connections to the port are refused. The listener must not have
// been served yet.
//
// Reserve opens a connection to the listener and keeps both ends open. The system
// never chooses the port of an open connection, but it allows a restarted server to
// listen on it.
func Reserve(l net.Listener) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), acceptTimeout) //nolint:forbidigo // bounded by the timeout
	defer cancel()
	local, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	for {
		accepted, err := l.Accept()
		if err != nil {
			closeAll(local)
			return nil, fmt.Errorf("reserving a port: %w", err)
		}
		if accepted.RemoteAddr().String() == local.LocalAddr().String() {
			return func() { closeAll(local, accepted) }, nil
		}
		closeAll(accepted) // another client connected first
	}
}

func closeAll(all ...io.Closer) {
	for _, c := range all {
		_ = c.Close() // nothing was sent
	}
}
