package check_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"

	"github.com/zato-connect/zato-connect/internal/check"
	"github.com/zato-connect/zato-connect/simulator"
)

func TestBatchedRequestsAreRefused(t *testing.T) {
	env := service.NewEnvironment()
	require.NoError(t, simulator.Register(env))
	const requests = "zato_wsx_requests: { connection: { address: 'ws://127.0.0.1:1/x', timeout: 100ms } }"
	for input, path := range map[string]string{
		"{ " + requests + " }":                             "",
		"{ broker: { inputs: [ { " + requests + " } ] } }": "",
		"{ broker: { inputs: [ { " + requests + " } ], batching: { count: 1, period: 1s } } }":               "",
		"{ broker: { inputs: [ { " + requests + " } ], batching: { count: 2 } } }":                           "input.broker.inputs.0",
		"{ broker: { inputs: [ { " + requests + " } ], batching: { period: 10ms } } }":                       "input.broker.inputs.0",
		"{ broker: { inputs: [ { generate: { mapping: root = 1 } } ], batching: { count: 2 } } }":            "",
		"{ batched: { child: { " + requests + " }, policy: { byte_size: 100 } } }":                           "input.batched.child",
		"{ batched: { child: { read_until: { input: { " + requests + " } } }, policy: { check: 'true' } } }": "input.batched",
		"{ batched: { child: { resource: prices }, policy: { count: 2 } } }\ninput_resources: [ { label: prices, " + requests +
			" } ]": "input.batched.child.resource.prices",
		"{ resource: prices }\ninput_resources: [ { label: prices, " + requests + " } ]": "",
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(file, []byte("input: "+input+"\noutput: { drop: {} }"), 0o600))
		_, err := check.Files(t.Context(), env.FullConfigSchema("", ""), []string{file}, check.Options{})
		if path == "" {
			require.NoError(t, err, input)
			continue
		}
		require.ErrorContains(t, err, path, input)
		require.ErrorContains(t, err, "the requests are batched")
	}
}
