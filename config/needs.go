package config

import (
	"github.com/redpanda-data/benthos/v4/public/service"
)

// Needs is what a component needs of a server, for who checks that it is there.
type Needs struct {
	Connection *Connection
	// Receives are the topics that it subscribes to, which is to make Durable
	// subscriptions or not.
	Receives []string
	Durable  bool
	// Publishes is the topic that it publishes to, "" where that depends on the
	// message.
	Publishes string
}

// ParseNeeds reads the needs of a component that has only a connection, from its
// configuration as YAML.
func ParseNeeds(yaml string) (*Needs, error) {
	conf, err := service.NewConfigSpec().Field(ConnectionField()).ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := ParseConnection(conf)
	return &Needs{Connection: connection}, err
}
