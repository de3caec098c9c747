package streamtest

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
)

// BuildError builds and runs a pipeline without linting it, and returns the error.
func BuildError(t *testing.T, yaml string) error {
	t.Helper()
	b := service.NewStreamBuilder()
	b.DisableLinting()
	require.NoError(t, b.SetYAML(yaml))
	stream, err := b.Build()
	if err == nil {
		err = stream.Run(t.Context())
	}
	return err
}
