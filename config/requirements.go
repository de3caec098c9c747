package config

import (
	"github.com/redpanda-data/benthos/v4/public/service"
)

// Requirements lists what a component requires of its server. The check command verifies it.
type Requirements struct {
	Connection *Connection
	// Subscribes are the topics that the component subscribes to.
	Subscribes []string
	// Durable reports whether the subscriptions must be durable.
	Durable bool
	// Subscription is the name of the subscriptions from which messages are fetched. If it is empty, or PushFields is
	// not, Zato pushes them.
	Subscription string
	// PushFields are the fields of the component that say how Zato pushes messages.
	PushFields []string
	// Publishes is the topic that the component publishes to. It is empty if the topic
	// depends on the message.
	Publishes string
	// InMemory reports whether the component may publish messages without guaranteed delivery.
	InMemory bool
	// Invokes reports whether the component calls services by their names.
	Invokes bool
}

// ParseRequirements returns the requirements of a component that needs only a connection.
// yaml is the component's configuration.
func ParseRequirements(yaml string) (*Requirements, error) {
	conf, err := service.NewConfigSpec().Field(ConnectionField()).ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := ParseConnection(conf)
	return &Requirements{Connection: connection}, err
}
