package input

import (
	"errors"

	"github.com/zato-connect/zato-connect/config"
)

// Requirements returns what a zato_wsx input needs from the server. yaml is the configuration of the input, and label
// is its label.
func Requirements(label, yaml string) (*config.Requirements, error) {
	conf, err := spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	connection, err := config.ParseConnection(conf)
	settings, settingsErr := parse(conf)
	if err := errors.Join(err, settingsErr); err != nil {
		return nil, err
	}
	if err := settings.useLabel(label); err != nil {
		return nil, err
	}
	requirements := &config.Requirements{
		Connection: connection, Subscription: settings.name, PushFields: settings.pushFields,
	}
	for _, sub := range settings.subscriptions {
		requirements.Subscribes = append(requirements.Subscribes, sub.Topic)
		requirements.Durable = sub.Durable
	}
	return requirements, nil
}
