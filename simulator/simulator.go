// Package simulator offers the Zato server of package wsxtest to pipelines, as
// the custom resource zato_wsx_simulators. Its services are Bloblang mappings,
// so that a pipeline can be built, shown and tested with no Zato at hand.
package simulator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// Resource is the name of the custom resource: the top-level list of a
// configuration that holds simulators.
const Resource = "zato_wsx_simulators"

// Register adds the resource to an environment. A command line that is to know
// it needs its schema from the same environment.
func Register(env *service.Environment) error {
	if err := env.RegisterCustomResource(Resource, spec(), construct); err != nil {
		return fmt.Errorf("registering %s: %w", Resource, err)
	}
	return nil
}

func construct(conf *service.ParsedConfig, res *service.Resources) (any, error) {
	sim, err := newSimulator(conf, res.Logger())
	if err != nil {
		return nil, err
	}
	res.Logger().Debugf("A simulated Zato server listens at %s", sim.server.URL(sim.path))
	return sim, nil
}

// simulator is one running server. The engine closes it after every component.
type simulator struct {
	server *wsxtest.Server
	askers *askers
	path   string
	close  sync.Once
}

// newSimulator starts a server: components connect to it as soon as they are
// built, and nothing else tells a resource that it is wanted.
func newSimulator(conf *service.ParsedConfig, log *service.Logger) (*simulator, error) {
	channel, err := parseChannel(conf)
	if err != nil {
		return nil, err
	}
	address, err := conf.FieldString(fieldAddress)
	if err != nil {
		return nil, err
	}
	options := []wsxtest.Option{wsxtest.WithAddress(address), wsxtest.WithChannel(channel), wsxtest.WithAutoCreatedTopics()}
	mappings, err := conf.FieldStringMap(fieldServices)
	if err != nil {
		return nil, err
	}
	for name, mapping := range mappings {
		exe, err := bloblang.GlobalEnvironment().Parse(mapping)
		if err != nil {
			return nil, fmt.Errorf("field %s: the mapping of %q: %w", fieldServices, name, err)
		}
		options = append(options, wsxtest.WithService(name, mapped(exe)))
	}
	server := wsxtest.NewServer(options...)
	requests, err := parseAskers(conf, server, log)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("field %s: %w: choose a free one", fieldAddress, err)
	}
	return &simulator{server: server, askers: startAskers(requests), path: channel.Path}, nil
}

// farewell is how long the server waits at its end for the clients of the same
// pipeline, whose processors the engine closes at about the same time: they would
// take its end for a fault.
const farewell = time.Second

// Close stops the server, once its clients are gone or the time for that is over.
func (s *simulator) Close(ctx context.Context) error {
	s.close.Do(func() {
		s.askers.close()
		ctx, cancel := context.WithTimeout(ctx, farewell)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for s.server.Connections() > 0 && ctx.Err() == nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		s.server.Close()
	})
	return nil
}
