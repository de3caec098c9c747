package connection

import (
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Translate turns an error of Call or Publish into the error that the engine expects. If
// nothing was sent because there was no connection, that is service.ErrNotConnected: the
// engine then calls Connect and tries again. Translate returns any other error as it is, and
// the engine rejects the message.
func (l *Lease) Translate(err error) error {
	if !IsNotConnected(err) {
		return err
	}
	// The engine does not log the reason.
	l.log.Debugf("Not connected to Zato: %v", err)
	return fmt.Errorf("%w: %w", service.ErrNotConnected, err)
}

// IsNotConnected reports whether nothing was sent because there was no connection.
func IsNotConnected(err error) bool {
	disconnected := errors.Is(err, wsx.ErrNotConnected) || errors.Is(err, wsx.ErrClosed)
	return disconnected && wsx.SendStatusOf(err) == wsx.NotSent
}

// TranslateConnect turns an error into one for the engine's Connect. If another attempt is
// not likely to succeed soon, the engine waits as long as the client does between attempts.
func (l *Lease) TranslateConnect(err error) error {
	if err == nil || !wsx.IsRejected(err) {
		return err
	}
	return service.NewErrBackOff(err, l.manager.conf.Client.MaxBackOff)
}
