package e2e_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runPython runs the Python interpreter. It skips the test if there is none.
func runPython(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(cmd.Environ(), "PYTHONPYCACHEPREFIX="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestPythonServicesCompile(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"zato/*.py", "zato/tests/*.py", "zato/zato4/*.py", "zato/zato4/tests/*.py", "wsxtest/conformance/zato/*.py",
	} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	assert.Len(t, files, 8)
	runPython(t, append([]string{"-m", "py_compile"}, files...)...)
}

func TestPythonServicesPassTheirTests(t *testing.T) {
	runPython(t, "-m", "unittest", "discover", "zato/tests")
	runPython(t, "-m", "unittest", "discover", "zato/zato4/tests")
}
