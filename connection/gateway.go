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

// Fetch fetches from a queue over the least busy connection for calls. See wsx.Client.Fetch.
func (l *Lease) Fetch(ctx context.Context, q wsx.Queue, r wsx.FetchRequest) (wsx.Fetched, error) {
	var fetched wsx.Fetched
	_, err := l.withClient(ctx, operation{"fetching from topic", q.Topic}, time.Time{}, func(c *wsx.Client) (err error) {
		fetched, err = c.Fetch(ctx, q, r)
		return err
	})
	return fetched, err
}
