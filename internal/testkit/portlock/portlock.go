// Package loopback keeps ports for those who listen now and then.
package portlock

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// limit is how long a connection to a listener of this process may take.
const limit = 10 * time.Second

// Reserve keeps the port of a TCP listener, also after that is closed, from whoever asks the
// system for any port, until the returned function is called. Who asks for this very port
// gets it, and nobody is let in while nobody listens. The listener must not be served yet.
//
// A connection does that, which is open between the listener and its own process: the
// system gives the port of one to nobody, and lets servers that start again have it.
func Reserve(l net.Listener) (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit) //nolint:forbidigo // no caller waits
	defer cancel()
	near, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("holding a port: %w", err)
	}
	for {
		far, err := l.Accept()
		if err != nil {
			closeAll(near)
			return nil, fmt.Errorf("holding a port: %w", err)
		}
		if far.RemoteAddr().String() == near.LocalAddr().String() {
			return func() { closeAll(near, far) }, nil
		}
		closeAll(far) // somebody else was faster
	}
}

func closeAll(all ...io.Closer) {
	for _, c := range all {
		_ = c.Close() // nothing went over it
	}
}
