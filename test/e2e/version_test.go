package e2e_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionNamesTheEngineThatIsLinked(t *testing.T) {
	linked := func(module string) string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module).Output()
		require.NoError(t, err)
		return strings.TrimSpace(string(out))
	}
	out, err := command(t, time.Minute, nil, "--version").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "(Redpanda Connect "+linked("github.com/redpanda-data/connect/v4")+
		", benthos "+linked("github.com/redpanda-data/benthos/v4")+")\n")
}
