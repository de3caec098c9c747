package tracing_test

import (
	"errors"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/tracing"
)

type (
	input  struct{ service.BatchInput }
	output struct{ service.BatchOutput }
)

func TestPipelineWithoutATracerHasNoWrappersAndNoCosts(t *testing.T) {
	res := service.MockResources()
	tracer := tracing.New(res)
	assert.Nil(t, tracer)
	assert.Equal(t, output{}, tracer.Output(output{}))

	spec := service.NewConfigSpec().Field(service.NewExtractTracingSpanMappingField())
	for yaml, same := range map[string]bool{
		"{}": true, "extract_tracing_map: ''": true, "extract_tracing_map: root = @": false,
	} {
		conf, err := spec.ParseYAML(yaml, nil)
		require.NoError(t, err)
		in, err := tracing.WrapInput(conf, res, input{}, nil)
		require.NoError(t, err)
		assert.Equal(t, same, in == service.BatchInput(input{}), yaml)
	}

	msg, failed := service.NewMessage(nil), errors.New("failed")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		span := tracer.StartInvoke(msg, "my.service")
		span.Describe(tracing.Message{ID: "id"})
		span.Finish(failed)
		tracing.Current(msg).Describe(tracing.Message{Destination: "/my/topic"})
	}))
}
