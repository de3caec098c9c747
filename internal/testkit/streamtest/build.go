package streamtest

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
)

// BuildError returns why a pipeline that no linter has seen cannot be built.
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
