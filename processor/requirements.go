package processor

import "github.com/zato-connect/zato-connect/config"

// Requirements returns what a zato_wsx processor requires of its server. yaml is the
// processor's configuration.
func Requirements(yaml string) (*config.Requirements, error) {
	conf, err := spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	name, err := conf.FieldInterpolatedString(fieldService)
	if err != nil {
		return nil, err
	}
	connection, err := config.ParseConnection(conf)
	static, isStatic := name.Static()
	return &config.Requirements{Connection: connection, Invokes: !isStatic || static != ""}, err
}
