package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestZatoReadsTheSecretFromAFile(t *testing.T) {
	server := startZato(t)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("s3cr3t\n"), 0o600))
	noSecret := "ZATO_WSX_SECRET="
	for name, c := range map[string]struct {
		env      []string
		args     []string
		reported string // empty: the command succeeds
	}{
		"flag":         {env: []string{noSecret}, args: []string{"--secret-file", file}},
		"variable":     {env: []string{noSecret, "ZATO_WSX_SECRET_FILE=" + file}},
		"both":         {args: []string{"--secret-file", file}, reported: "set only one of them"},
		"missing file": {env: []string{noSecret}, args: []string{"--secret-file", file + "2"}, reported: "create the file"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"zato", "ping", "--count", "1"}, c.args...)
			out, err := command(t, time.Minute, zatoEnv(server, c.env...), args...).CombinedOutput()
			if c.reported == "" {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Error(t, err)
			assert.Contains(t, string(out), c.reported)
			assert.Equal(t, 1, strings.Count(string(out), "secret-file"), "%s", out)
		})
	}
}
