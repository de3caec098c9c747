package connection

import (
	"context"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// Describe returns what the gateway of a client's channel can do. If the gateway does not hand
// out messages on request, Describe logs once for all components with these settings what that
// costs. See wsx.Client.Describe.
func (l *Lease) Describe(ctx context.Context, c *wsx.Client) (wsx.Description, error) {
	d, err := c.Describe(ctx)
	asked := l.manager.conf.Client.Gateway != wsx.GatewayStock
	if err == nil && asked && !d.Offers(wsx.AbilityFetch) {
		l.manager.pushes.Do(func() {
			l.log.Info("The channel is not mounted on the companion services (zato/README.md), so Zato pushes the messages " +
				"of topics. It sends none again, so some can be lost if the process or the connection ends: see " +
				"docs/guarantees.md. This line is not logged with gateway: stock")
		})
	}
	return d, err
}

// Use calls do with the client of the least busy connection for calls.
func (l *Lease) Use(ctx context.Context, do func(*wsx.Client) error) error {
	_, err := l.withClient(ctx, operation{verb: "waiting for a connection"}, time.Time{}, do)
	return err
}

// Described returns what the gateway of the connections for calls can do, or nil if that is not
// known on any of them.
func (l *Lease) Described() *wsx.Description { return l.manager.pool.described() }

// Gateway returns what the gateway can do. It asks the server, at most once for each connection.
// It waits and fails as a call does.
func (l *Lease) Gateway(ctx context.Context) (*wsx.Description, error) {
	var d wsx.Description
	err := l.Use(ctx, func(c *wsx.Client) (err error) {
		d, err = c.Describe(ctx)
		return err
	})
	return &d, err
}

// RequiresCompanion reports whether the settings require the companion services.
func (l *Lease) RequiresCompanion() bool { return l.manager.conf.Client.Gateway == wsx.GatewayConnect }
