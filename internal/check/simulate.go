package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/simulator"
)

// stopLimit is how long the simulators may take to stop.
const stopLimit = 5 * time.Second

// idle is a pipeline that does nothing.
const idle = `{
  "input": { "generate": { "mapping": "root = deleted()", "interval": "1h" } },
  "output": { "drop": {} },
  "logger": { "level": "NONE" },
  "metrics": { "none": {} },
  "http": { "enabled": false },
  %q: %s
}`

// simulate starts simulators until stop is called. Environment variables are filled
// in already.
func simulate(
	ctx context.Context, schema *service.ConfigSchema, simulators []any,
) (stop func() error, err error) {
	text, err := fields(simulators)
	if err != nil {
		return nil, err
	}
	b := schema.Environment().NewStreamBuilder()
	b.SetSchema(schema)
	// What looks like a variable still was meant to.
	b.SetEnvVarLookupFunc(func(name string) (string, bool) { return "${" + name + "}", true })
	if err := b.SetYAML(fmt.Sprintf(idle, simulator.Resource, text)); err != nil {
		return nil, err
	}
	stream, err := b.Build() // which starts them
	if err != nil {
		return nil, fmt.Errorf("starting the simulators: %w", err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { ended <- stream.Run(ctx) }()
	return func() error {
		cancel()
		<-ended // Run leaves the stopping to others when its context ends
		return stream.StopWithin(stopLimit)
	}, nil
}

// fields renders simulators without what they do not have: the engine gives a list
// that is empty as null, and would not take that.
func fields(simulators []any) ([]byte, error) {
	text, err := json.Marshal(simulators)
	if err != nil {
		return nil, err
	}
	var list []map[string]any
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for _, one := range list {
		maps.DeleteFunc(one, func(_ string, value any) bool { return value == nil })
	}
	return json.Marshal(list)
}
