// Package connection shares connections to Zato among the components of a stream.
// Components with equal connection settings hold leases on one manager. A manager has a pool
// of connections for calls, and a connection of its own for each subscription and for
// requests of the server.
package connection

import (
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// registry holds the managers that belong to one set of the engine's resources.
type registry struct {
	// mu guards managers and their counts of leases. No connection may be closed while it is
	// held, because that blocks.
	mu       sync.Mutex
	managers map[managerKey]*manager
}

// managerKey identifies a manager. Streams do not share managers, because the metrics and the
// log lines of a manager have the labels of one stream and must end with it.
type managerKey struct {
	stream   string // the id of the stream, or empty outside of streams mode
	settings string // the key of the connection settings
}

// registryKey is the key of the registry among the engine's resources.
type registryKey struct{}

func registryOf(res *service.Resources) *registry {
	// If there is a registry already, this one is dropped. It has started nothing.
	r, _ := res.GetOrSetGeneric(registryKey{}, &registry{managers: map[managerKey]*manager{}})
	return r.(*registry) //nolint:forcetypeassert // the key is private
}

// manager owns the connections that components of a stream with equal settings share.
type manager struct {
	key       managerKey
	conf      *config.Connection
	leases    int // guarded by registry.mu
	pool      *pool
	log       *connectionLog
	collector *collector
	pushes    sync.Once // logs that Zato pushes messages

	// mu guards requestServers.
	mu             sync.Mutex
	requestServers []*requestServer
}

// role is the purpose of a connection, and a label of metrics.
type role string

const (
	roleCalls        role = "calls"
	roleSubscription role = "subscription"
	roleRequests     role = "requests"
)

func newManager(key managerKey, conf *config.Connection, res *service.Resources) *manager {
	if conf.Client.ClientID == "" {
		conf.Client.ClientID = generatedClientID()
	}
	m := &manager{
		key:       key,
		conf:      conf,
		log:       newConnectionLog(res.Logger()),
		collector: newCollector(res.Metrics()),
	}
	m.pool = newPool(conf.MaxConnections, conf.Client.CallsPerConnection,
		func(adapt func(*wsx.Config)) (*wsx.Client, error) { return m.newClient(roleCalls, "", adapt) })
	return m
}

// generatedClientID returns an id that no other process has, so that a Zato service can
// address this one.
func generatedClientID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return "zato-connect." + host + "." + strings.ToLower(rand.Text()[:12])
}

// newClient returns a client with the settings of the manager, as changed by adapt. The
// manager logs what happens to the client and counts it in its metrics. The topic is that of
// a subscription, or empty.
func (m *manager) newClient(r role, topic string, adapt func(*wsx.Config)) (*wsx.Client, error) {
	conf := m.conf.Client
	conf.OnRequest = refuseRequest
	conf.OnState = func(wsx.State, error) {}
	adapt(&conf)
	conf.Logger = newLogger(m.log, slog.LevelError)
	if topic != "" {
		conf.Logger = conf.Logger.With(logTopic, topic)
	}
	// The manager's log has the states of all clients together.
	conf.ConnectionLogger = newLogger(m.log, slog.LevelDebug)
	l := m.log.newLink(topic)
	var client *wsx.Client
	onState := conf.OnState
	conf.OnState = func(state wsx.State, err error) {
		m.collector.onState(r, client, state, err)
		l.onState(state, err)
		onState(state, err)
	}
	client, err := wsx.New(conf)
	return client, err
}

// acquire adds a lease to the stream's manager with the settings in conf, which it makes if
// there is none.
func (r *registry) acquire(conf *config.Connection, res *service.Resources) *manager {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := managerKey{stream: res.StreamID(), settings: conf.Key()}
	m := r.managers[key]
	if m == nil {
		m = newManager(key, conf, res)
		r.managers[key] = m
	}
	m.leases++
	return m
}

// release removes a lease from a manager. With its last lease, the manager is closed.
func (r *registry) release(m *manager) {
	r.mu.Lock()
	m.leases--
	last := m.leases == 0
	if last {
		delete(r.managers, m.key)
	}
	r.mu.Unlock()
	if last {
		m.pool.close()
		m.collector.close()
		m.log.close()
	}
}
