package input

import (
	"errors"

	"github.com/zato-connect/zato-connect/config"
)

// Requirements reads what a zato_wsx input needs of its server, from its configuration as
// YAML.
func Requirements(yaml string) (*config.Requirements, error) {
	conf, err := spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := config.ParseConnection(conf)
	settings, fault := parse(conf)
	if err := errors.Join(err, fault); err != nil {
		return nil, err
	}
	needs := &config.Requirements{Connection: connection}
	for _, sub := range settings.subscriptions {
		needs.Subscribes = append(needs.Subscribes, sub.Topic)
		needs.Durable = sub.Durable
	}
	return needs, nil
}
