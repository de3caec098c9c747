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

// stopTimeout bounds the time that the simulators take to stop.
const stopTimeout = 5 * time.Second

// idlePipeline is a pipeline that does nothing but run the simulators.
const idlePipeline = `{
  "input": { "generate": { "mapping": "root = deleted()", "interval": "1h" } },
  "output": { "drop": {} },
  "logger": { "level": "NONE" },
  "metrics": { "none": {} },
  "http": { "enabled": false },
  %q: %s
}`

// simulate starts simulators. They run until stop is called.
func simulate(
	ctx context.Context, schema *service.ConfigSchema, simulators []any,
) (stop func() error, err error) {
	text, err := marshalSimulators(simulators)
	if err != nil {
		return nil, err
	}
	b := schema.Environment().NewStreamBuilder()
	b.SetSchema(schema)
	// parse has replaced the environment variables. What still looks like one is meant
	// literally.
	b.SetEnvVarLookupFunc(func(name string) (string, bool) { return "${" + name + "}", true })
	if err := b.SetYAML(fmt.Sprintf(idlePipeline, simulator.Resource, text)); err != nil {
		return nil, err
	}
	stream, err := b.Build() // starts the simulators
	if err != nil {
		return nil, fmt.Errorf("starting the simulators: %w", err)
	}
	runDone := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { runDone <- stream.Run(ctx) }()
	return func() error {
		cancel()
		<-runDone // Run does not stop the stream when its context ends
		return stream.StopWithin(stopTimeout)
	}, nil
}

// marshalSimulators returns simulators as JSON, without null fields. The engine writes an
// empty list as null, and does not accept that itself.
func marshalSimulators(simulators []any) ([]byte, error) {
	text, err := json.Marshal(simulators)
	if err != nil {
		return nil, err
	}
	var list []map[string]any
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for _, fields := range list {
		maps.DeleteFunc(fields, func(_ string, value any) bool { return value == nil })
	}
	return json.Marshal(list)
}
