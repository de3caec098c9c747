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
	broker := func(input, policy string) string {
		return "{ broker: { inputs: [ " + input + " ], batching: { " + policy + " } } }"
	}
	batched := func(input, policy string) string {
		return "{ batched: { child: " + input + ", policy: { " + policy + " } } }"
	}
	const resource = "\ninput_resources: [ { label: prices, " + requests + " } ]"
	for input, path := range map[string]string{
		"{ " + requests + " }":                                               "",
		"{ broker: { inputs: [ { " + requests + " } ] } }":                   "",
		broker("{ "+requests+" }", "count: 1, period: 1s"):                   "",
		broker("{ "+requests+" }", "count: 2"):                               "input.broker.inputs.0",
		broker("{ "+requests+" }", "period: 10ms"):                           "input.broker.inputs.0",
		broker("{ generate: { mapping: root = 1 } }", "count: 2"):            "",
		batched("{ "+requests+" }", "byte_size: 100"):                        "input.batched.child",
		batched("{ read_until: { input: { "+requests+" } } }", "check: '1'"): "input.batched.child.read_until.input",
		batched("{ resource: prices }", "count: 2") + resource:               "input.batched.child.resource.prices",
		"{ resource: prices }" + resource:                                    "",
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
