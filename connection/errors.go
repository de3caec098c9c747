package connection

import (
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Translate turns an error of a client into one by which the engine acts:
// service.ErrNotConnected where nothing was sent because there was no
// connection, which makes it connect and try again. Any other error stays what
// it is; the engine then rejects the message.
func (l *Lease) Translate(err error) error {
	lost := errors.Is(err, wsx.ErrNotConnected) || errors.Is(err, wsx.ErrClosed)
	if !lost || wsx.SendStatusOf(err) != wsx.NotSent {
		return err
	}
	// The engine keeps only that there is no connection, not why.
	l.log.Debugf("Not connected to Zato: %v", err)
	return fmt.Errorf("%w: %w", service.ErrNotConnected, err)
}

// TranslateConnect turns an error into one for the engine's Connect. What trying
// again soon will not mend waits as long as the client itself does.
func (l *Lease) TranslateConnect(err error) error {
	if err == nil || !wsx.IsRejected(err) {
		return err
	}
	return service.NewErrBackOff(err, l.manager.conf.Client.MaxBackOff)
}
