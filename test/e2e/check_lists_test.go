package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckSaysWhatAGatewayWithoutListsCostsAProcessor(t *testing.T) {
	for can, missing := range map[string]bool{"fetch": true, "invoke-list": false} {
		server := startDescribed(t, fmt.Sprintf(`{"name": "zato-connect", "version": 1, "can": [%q]}`, can))
		out, passed := check(t, writeConfig(t, fmt.Sprintf(`
input: { generate: { mapping: 'root = 1' } }
pipeline:
  processors:
    - zato_wsx: { connection: { address: %q, username: bridge, secret: s3cr3t }, service: zato.ping }
output: { drop: {} }
`, server.URL("/bridge"))))
		require.True(t, passed, out)
		const cost = "ability missing invoke-list: each message of a batch is a call of its own"
		assert.Equal(t, missing, strings.Contains(strings.Join(strings.Fields(out), " "), cost), out)
	}
}
