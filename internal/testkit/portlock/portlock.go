// Package loopback keeps ports for those who listen now and then.
package portlock

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// acceptTimeout is how long a connection to a listener of this process may take.
const acceptTimeout = 10 * time.Second

// Reserve keeps the port of a TCP listener, also after that is closed, from whoever asks the
// system for any port, until the returned function is called. Who asks for this very port
// gets it, and nobody is let in while nobody listens. The listener must not be served yet.
//
// A connection does that, which is open between the listener and its own process: the
// system gives the port of one to nobody, and lets servers that start again have it.
func Reserve(l net.Listener) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), acceptTimeout) //nolint:forbidigo // no caller waits
	defer cancel()
	local, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("holding a port: %w", err)
	}
	for {
		accepted, err := l.Accept()
		if err != nil {
			closeAll(local)
			return nil, fmt.Errorf("holding a port: %w", err)
		}
		if accepted.RemoteAddr().String() == local.LocalAddr().String() {
			return func() { closeAll(local, accepted) }, nil
		}
		closeAll(accepted) // somebody else was faster
	}
}

func closeAll(all ...io.Closer) {
	for _, c := range all {
		_ = c.Close() // nothing went over it
	}
}
