package output

import (
	"strconv"

	"github.com/zato-connect/zato-connect/config"
)

// Requirements returns what a zato_wsx output requires of its server. yaml is the output's
// configuration.
func Requirements(yaml string) (*config.Requirements, error) {
	conf, err := spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	if err := validateStatic(conf); err != nil {
		return nil, err
	}
	topic, err := conf.FieldInterpolatedString(fieldTopic)
	if err != nil {
		return nil, err
	}
	hasGD, err := conf.FieldInterpolatedString(fieldHasGD)
	if err != nil {
		return nil, err
	}
	connection, err := config.ParseConnection(conf)
	static, _ := topic.Static()
	guaranteed, _ := hasGD.Static()
	isGuaranteed, _ := strconv.ParseBool(guaranteed)
	return &config.Requirements{Connection: connection, Publishes: static, InMemory: !isGuaranteed}, err
}
