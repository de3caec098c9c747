package input

import (
	"errors"

	"github.com/zato-connect/zato-connect/config"
)

// Needs reads what a zato_wsx input needs of its server, from its configuration as
// YAML.
func Needs(yaml string) (*config.Needs, error) {
	conf, err := spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := config.ParseConnection(conf)
	settings, fault := parse(conf)
	if err := errors.Join(err, fault); err != nil {
		return nil, err
	}
	needs := &config.Needs{Connection: connection}
	for _, sub := range settings.subscriptions {
		needs.Receives = append(needs.Receives, sub.Topic)
		needs.Durable = sub.Durable
	}
	return needs, nil
}
