//go:build unix

package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/config"
)

// parseSource parses a connection object with one field that names the source of a secret.
func parseSource(t *testing.T, field, value string) (*config.Connection, error) {
	t.Helper()
	return parse(t, fmt.Sprintf("{ address: 'ws://host/path', %s: %q }", field, value))
}

// writeSecret writes a file and returns its path.
func writeSecret(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestSecretIsReadFromAVariable(t *testing.T) {
	const secret = "  0123: #\"'${X} \t\n"
	t.Setenv("ZATO_TEST_SECRET", secret)
	c, err := parseSource(t, "secret_env", "ZATO_TEST_SECRET")
	require.NoError(t, err)
	assert.Equal(t, secret, c.Client.Secret.Reveal())
	assert.Nil(t, c.Client.SecretFunc)
}

func TestSecretIsReadFromItsFileForEachLogin(t *testing.T) {
	longest := strings.Repeat("x", 64<<10)
	for content, secret := range map[string]string{
		"plain":          "plain",
		"line\n":         "line",
		"line\r\n":       "line",
		"two\n\n":        "two\n",
		"two\r\n\r\n":    "two\r\n",
		"return\r":       "return\r",
		"  two spaces  ": "  two spaces  ",
		"żółć":           "żółć",
		longest:          longest,
		longest + "\r\n": longest,
	} {
		path := writeSecret(t, "other")
		c, err := parseSource(t, "secret_file", path)
		require.NoError(t, err)
		assert.Empty(t, c.Client.Secret)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		got, err := c.Client.SecretFunc(t.Context())
		require.NoError(t, err)
		assert.Equal(t, secret, got.Reveal())
	}
}

func TestUnusableSecretIsAnErrorThatNamesItsSource(t *testing.T) {
	t.Setenv("ZATO_TEST_EMPTY", "")
	t.Setenv("ZATO_TEST_BINARY", "hidden\xff")
	t.Setenv("ZATO_TEST_LARGE", strings.Repeat("hidden", 16<<10))
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct{ field, value, problem string }{
		"variable is not set":   {"secret_env", "ZATO_TEST_UNSET", "the variable ZATO_TEST_UNSET is not set: set it"},
		"variable is empty":     {"secret_env", "ZATO_TEST_EMPTY", "the variable ZATO_TEST_EMPTY is empty: store"},
		"variable is binary":    {"secret_env", "ZATO_TEST_BINARY", "the variable ZATO_TEST_BINARY is not valid UTF-8"},
		"variable is large":     {"secret_env", "ZATO_TEST_LARGE", "the variable ZATO_TEST_LARGE is larger than 65536 bytes"},
		"value instead of name": {"secret_env", "hidden secret", "no variable has this name: write the name of a variable"},
		"file is missing":       {"secret_file", missing, missing + ": no such file or directory: create the file"},
		"file is a folder":      {"secret_file", t.TempDir(), " is not a regular file: "},
		"file is a pipe":        {"secret_file", pipe, pipe + " is not a regular file: "},
		"file is empty":         {"secret_file", writeSecret(t, ""), " is empty: store the secret there"},
		"file is only a line":   {"secret_file", writeSecret(t, "\r\n"), " is empty: store the secret there"},
		"file is binary":        {"secret_file", writeSecret(t, "hidden\xff"), " is not valid UTF-8: store"},
		"file is large": {
			"secret_file", writeSecret(t, strings.Repeat("hidden", 16<<10)), " is larger than 65536 bytes: store only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSource(t, c.field, c.value)
			require.ErrorContains(t, err, "field connection: "+c.field+": ")
			require.ErrorContains(t, err, c.problem)
			if c.field == "secret_file" {
				require.ErrorContains(t, err, c.value)
			}
			assert.NotContains(t, err.Error(), "hidden")
		})
	}
}

func TestSecretFileThatBecomesUnusableIsAnErrorThatNamesIt(t *testing.T) {
	path := writeSecret(t, "hidden")
	c, err := parseSource(t, "secret_file", path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	_, err = c.Client.SecretFunc(t.Context())
	require.ErrorContains(t, err, "connection.secret_file: ")
	require.ErrorContains(t, err, path)
}

func TestKeyDependsOnTheSourceOfTheSecretAndNotOnTheSecret(t *testing.T) {
	key := func(field, value string) string {
		c, err := parseSource(t, field, value)
		require.NoError(t, err)
		return c.Key()
	}
	path := writeSecret(t, "one")
	before := key("secret_file", path)
	require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
	assert.Equal(t, before, key("secret_file", path))
	assert.NotEqual(t, before, key("secret_file", writeSecret(t, "one")))
	t.Setenv("ZATO_TEST_ONE", "one")
	t.Setenv("ZATO_TEST_TWO", "one")
	assert.NotEqual(t, key("secret_env", "ZATO_TEST_ONE"), key("secret_env", "ZATO_TEST_TWO"))
	assert.NotEqual(t, key("secret_env", "ZATO_TEST_ONE"), key("secret", "one"))
}
