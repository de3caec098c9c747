// Package check tries the connections that configurations name: whether the server
// can be reached, takes the login, and grants what the components need.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/output"
	"github.com/zato-connect/zato-connect/simulator"
)

// Component is where a connection is used.
type Component struct {
	File string `json:"file"`
	// Kind is input, output or processor.
	Kind string `json:"kind"`
	// Path is the component's place in the file, in the engine's notation.
	Path  string `json:"path"`
	Label string `json:"label,omitempty"`
}

// connectionCheck is one connection and what all its components need of it.
type connectionCheck struct {
	connection *config.Connection
	components []Component
	subscribes []topic
	publishes  []string
}

// topic is a topic that is subscribed to.
type topic struct {
	name    string
	durable bool
}

// group is what is tried together: the connections of files with no simulator, or
// those of one file with the simulators that it brings along.
type group struct {
	simulators []any
	checks     []*connectionCheck
}

// sections are the parts of a configuration that components can be in.
func sections() []string {
	return []string{"input", "buffer", "pipeline", "output", "input_resources", "processor_resources", "output_resources"}
}

// parsers read the needs of our components, by their kind and name.
func parsers() map[[2]string]func(yaml string) (*config.Requirements, error) {
	return map[[2]string]func(string) (*config.Requirements, error){
		{"input", "zato_wsx"}:          input.Requirements,
		{"input", "zato_wsx_requests"}: config.ParseRequirements,
		{"output", "zato_wsx"}:         output.Requirements,
		{"processor", "zato_wsx"}:      config.ParseRequirements,
	}
}

// read makes plans of files, as the engine would read them.
func read(schema *service.ConfigSchema, files []string) ([]*group, error) {
	shared := &group{}
	var plans []*group
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the user names it
		if err != nil {
			return nil, err
		}
		root, err := parse(schema, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p := shared
		if list, _ := root[simulator.Resource].([]any); len(list) > 0 {
			p = &group{simulators: list}
			plans = append(plans, p)
		}
		if err := p.walk(schema, file, root); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return append(plans, shared), nil
}

// parse reads a configuration with its environment variables filled in.
func parse(schema *service.ConfigSchema, text []byte) (map[string]any, error) {
	lints, err := schema.NewStreamConfigLinter().LintYAML(text)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, lint := range lints {
		faults = append(faults, lint)
	}
	if err := errors.Join(faults...); err != nil {
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
	return root, nil
}

// walk adds the connections of all components of ours, however deep they are.
func (p *group) walk(schema *service.ConfigSchema, file string, root map[string]any) error {
	read := parsers()
	delete(root, simulator.Resource)
	return schema.NewStreamConfigWalker().WalkComponentsAny(root, func(w *service.WalkedComponent) error {
		parse := read[[2]string{w.ComponentType, w.Name}]
		if parse == nil {
			return nil
		}
		yaml, err := componentFields(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Path, err)
		}
		needs, err := parse(yaml)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Path, err)
		}
		p.add(Component{File: file, Kind: w.ComponentType, Path: w.Path, Label: w.Label}, needs)
		return nil
	})
}

// componentFields returns the fields of a component without its label and the like. JSON is
// YAML too.
func componentFields(w *service.WalkedComponent) (string, error) {
	whole, err := w.ConfigAny()
	if err != nil {
		return "", err
	}
	fields, _ := whole.(map[string]any)
	text, err := json.Marshal(fields[w.Name])
	return string(text), err
}

// add adds what a component needs to what others need of the same connection.
func (p *group) add(c Component, needs *config.Requirements) {
	t := p.checkFor(needs.Connection)
	t.components = append(t.components, c)
	for _, name := range needs.Subscribes {
		if wanted := (topic{name, needs.Durable}); !slices.Contains(t.subscribes, wanted) {
			t.subscribes = append(t.subscribes, wanted)
		}
	}
	if needs.Publishes != "" && !slices.Contains(t.publishes, needs.Publishes) {
		t.publishes = append(t.publishes, needs.Publishes)
	}
}

// checkFor returns the target with an equal connection.
func (p *group) checkFor(connection *config.Connection) *connectionCheck {
	for _, t := range p.checks {
		if t.connection.Key() == connection.Key() {
			return t
		}
	}
	t := &connectionCheck{connection: connection}
	p.checks = append(p.checks, t)
	return t
}
