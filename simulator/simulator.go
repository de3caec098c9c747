// Package simulator runs the Zato server of package wsxtest in a pipeline, as the custom
// resource zato_wsx_simulators. Its services are Bloblang mappings, so a pipeline can be
// developed, shown and tested without Zato.
package simulator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// Resource is the name of the custom resource. It is a top-level field of a configuration
// and contains a list of simulators.
const Resource = "zato_wsx_simulators"

// Register adds the resource to an environment. A command line knows the resource only if
// its schema is from the same environment.
func Register(env *service.Environment) error {
	if err := env.RegisterCustomResource(Resource, spec(), newResource); err != nil {
		return fmt.Errorf("registering %s: %w", Resource, err)
	}
	return nil
}

func newResource(conf *service.ParsedConfig, res *service.Resources) (any, error) {
	sim, err := newSimulator(conf, res.Logger())
	if err != nil {
		return nil, err
	}
	res.Logger().Debugf("A simulated Zato server listens on %s", sim.server.URL(sim.path))
	return sim, nil
}

// simulator is one running server. The engine closes it after all components.
type simulator struct {
	server     *wsxtest.Server
	requesters *requesters
	path       string
	once       sync.Once // for Close
}

// newSimulator starts a server. It cannot start it later: components connect as soon as
// they are built, and the engine calls no method of a resource before that.
func newSimulator(conf *service.ParsedConfig, log *service.Logger) (*simulator, error) {
	channel, err := parseChannel(conf)
	if err != nil {
		return nil, err
	}
	address, err := conf.FieldString(fieldAddress)
	if err != nil {
		return nil, err
	}
	options := []wsxtest.Option{
		wsxtest.WithAddress(address), wsxtest.WithChannel(channel), wsxtest.WithAutoCreatedTopics(),
	}
	measuredCosts, err := conf.FieldBool(fieldCosts)
	if err != nil {
		return nil, err
	}
	if measuredCosts {
		options = append(options, wsxtest.WithCosts(wsxtest.MeasuredCosts()))
	}
	mappings, err := conf.FieldStringMap(fieldServices)
	if err != nil {
		return nil, err
	}
	for name, mapping := range mappings {
		exe, err := parseMapping(mapping)
		if err != nil {
			return nil, fmt.Errorf("field %s.%s: %w", fieldServices, name, err)
		}
		options = append(options, wsxtest.WithService(name, mappingService(exe)))
	}
	server := wsxtest.NewServer(options...)
	requesters, err := parseRequesters(conf, server, log)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("field %s: %w: choose a free address", fieldAddress, err)
	}
	return &simulator{server: server, requesters: startRequesters(requesters), path: channel.Path}, nil
}

// drainTimeout bounds the time that Close waits for the clients of the same pipeline. The
// engine closes processors and resources at about the same time, and a processor that is
// still connected would log an error if the server stopped first.
const drainTimeout = time.Second

// Close stops the server when its clients have disconnected, or after drainTimeout.
func (s *simulator) Close(ctx context.Context) error {
	s.once.Do(func() {
		s.requesters.close()
		ctx, cancel := context.WithTimeout(ctx, drainTimeout)
		defer cancel()
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for s.server.Connections() > 0 && ctx.Err() == nil {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		s.server.Close()
	})
	return nil
}
