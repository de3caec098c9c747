// Package check tests the Zato connections of pipeline configurations: whether the server
// can be reached, accepts the login, and grants what the components need.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/output"
	"github.com/zato-connect/zato-connect/processor"
	"github.com/zato-connect/zato-connect/simulator"
)

// Component is a component that uses a connection.
type Component struct {
	File string `json:"file"`
	// Kind is input, output or processor.
	Kind string `json:"kind"`
	// Path is the component's path in the file, in the engine's notation.
	Path  string `json:"path"`
	Label string `json:"label,omitempty"`
}

// connectionCheck is one connection, with what all its components need.
type connectionCheck struct {
	connection *config.Connection
	components []Component
	subscribes []topic
	publishes  []string
	invokes    bool // whether a component calls services by their names
	inMemory   bool // whether a component may publish messages without guaranteed delivery
}

// topic is a topic that a component subscribes to.
type topic struct {
	name    string
	durable bool
	// subscription is the name of the subscription from which messages are fetched, if the gateway can do that and
	// pushFields is empty. It may be empty.
	subscription string
	// pushFields are the fields that say how Zato pushes messages.
	pushFields string
}

// fetches reports whether the component fetches the topic if the gateway can hand messages out.
func (t topic) fetches() bool { return t.subscription != "" && t.pushFields == "" }

// group is a set of connections that are tested while the same simulators run. A file
// with simulators has its own group. All other files share one.
type group struct {
	simulators []any
	checks     []*connectionCheck
}

// sections returns the sections of a configuration that can contain components.
func sections() []string {
	return []string{"input", "buffer", "pipeline", "output", "input_resources", "processor_resources", "output_resources"}
}

// componentID is the type and the name of a component.
type componentID struct{ kind, name string }

// parser parses the requirements of a component.
type parser func(label, yaml string) (*config.Requirements, error)

// parsers returns the parsers for this project's components.
func parsers() map[componentID]parser {
	return map[componentID]parser{
		{"input", "zato_wsx"}:          input.Requirements,
		{"input", "zato_wsx_requests"}: withoutLabel(config.ParseRequirements),
		{"output", "zato_wsx"}:         withoutLabel(output.Requirements),
		{"processor", "zato_wsx"}:      withoutLabel(processor.Requirements),
	}
}

// withoutLabel returns a parser for a component whose requirements do not depend on its label.
func withoutLabel(parse func(yaml string) (*config.Requirements, error)) parser {
	return func(_, yaml string) (*config.Requirements, error) { return parse(yaml) }
}

// parseFiles parses the files as the engine does.
func parseFiles(schema *service.ConfigSchema, files []string) ([]*group, error) {
	shared := &group{}
	var groups []*group
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the user chose it
		if err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
		root, err := parse(schema, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		g := shared
		if simulators, _ := root[simulator.Resource].([]any); len(simulators) > 0 {
			g = &group{simulators: simulators}
			groups = append(groups, g)
		}
		if err := g.addComponents(schema, file, root); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return append(groups, shared), nil
}

// parse lints a configuration and replaces its environment variables. It returns the
// sections that can contain components, and the simulators.
func parse(schema *service.ConfigSchema, text []byte) (map[string]any, error) {
	lints, err := schema.NewStreamConfigLinter().LintYAML(text)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, lint := range lints {
		errs = append(errs, lint)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	file, err := schema.NewConfigQuerier().ParseYAML(string(text))
	if err != nil {
		return nil, err
	}
	root := map[string]any{}
	for _, section := range append(sections(), simulator.Resource) {
		field, err := file.FieldAtPath(section)
		if err != nil {
			return nil, err
		}
		if root[section], err = field.FieldAny(); err != nil {
			return nil, err
		}
	}
	return root, checkBatching(root)
}

// addComponents adds all components of this project, at any depth.
func (g *group) addComponents(schema *service.ConfigSchema, file string, root map[string]any) error {
	parsers := parsers()
	delete(root, simulator.Resource)
	return schema.NewStreamConfigWalker().WalkComponentsAny(root, func(w *service.WalkedComponent) error {
		parse := parsers[componentID{w.ComponentType, w.Name}]
		if parse == nil {
			return nil
		}
		yaml, err := componentFields(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Path, err)
		}
		requirements, err := parse(w.Label, yaml)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Path, err)
		}
		g.add(Component{File: file, Kind: w.ComponentType, Path: w.Path, Label: w.Label}, requirements)
		return nil
	})
}

// componentFields returns the component's own fields, without its label and other common
// ones. The result is JSON, which is YAML too.
func componentFields(w *service.WalkedComponent) (string, error) {
	whole, err := w.ConfigAny()
	if err != nil {
		return "", err
	}
	fields, _ := whole.(map[string]any)
	text, err := json.Marshal(fields[w.Name])
	return string(text), err
}

// add adds a component to the check of its connection.
func (g *group) add(component Component, requirements *config.Requirements) {
	c := g.checkFor(requirements.Connection)
	c.components = append(c.components, component)
	c.invokes = c.invokes || requirements.Invokes
	c.inMemory = c.inMemory || requirements.InMemory
	for _, name := range requirements.Subscribes {
		t := topic{name, requirements.Durable, requirements.Subscription, strings.Join(requirements.PushFields, ", ")}
		if !slices.Contains(c.subscribes, t) {
			c.subscribes = append(c.subscribes, t)
		}
	}
	if requirements.Publishes != "" && !slices.Contains(c.publishes, requirements.Publishes) {
		c.publishes = append(c.publishes, requirements.Publishes)
	}
}

// checkFor returns the check of an equal connection, or a new one.
func (g *group) checkFor(connection *config.Connection) *connectionCheck {
	for _, c := range g.checks {
		if c.connection.Key() == connection.Key() {
			return c
		}
	}
	c := &connectionCheck{connection: connection}
	g.checks = append(g.checks, c)
	return c
}
