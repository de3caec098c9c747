package config

import (
	"github.com/redpanda-data/benthos/v4/public/service"
)

// Requirements is what a component needs of a server, for who checks that it is there.
type Requirements struct {
	Connection *Connection
	// Subscribes are the topics that it subscribes to, which is to make Durable
	// subscriptions or not.
	Subscribes []string
	Durable    bool
	// Publishes is the topic that it publishes to, "" where that depends on the
	// message.
	Publishes string
}

// ParseRequirements reads the needs of a component that has only a connection, from its
// configuration as YAML.
func ParseRequirements(yaml string) (*Requirements, error) {
	conf, err := service.NewConfigSpec().Field(ConnectionField()).ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := ParseConnection(conf)
	return &Requirements{Connection: connection}, err
}
