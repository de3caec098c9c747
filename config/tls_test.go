//go:build unix

package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/internal/testkit/certtest"
)

// parseTLS parses a connection object with a tls object.
func parseTLS(t *testing.T, format string, args ...any) (*config.Connection, error) {
	t.Helper()
	return parse(t, "{ address: 'wss://host/path', tls: { enabled: true, "+fmt.Sprintf(format, args...)+" } }")
}

func TestCertificateFilesAreReadForEachConnection(t *testing.T) {
	authority := certtest.NewAuthority(t)
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(ca, authority.PEM(), 0o600))
	authority.Issue(t, "first").Write(t, cert, key)
	c, err := parseTLS(t, "root_cas_file: %q, client_certs: [ { cert_file: %q, key_file: %q } ]", ca, cert, key)
	require.NoError(t, err)
	assert.Nil(t, c.Client.TLS)
	for _, name := range []string{"first", "second"} {
		authority.Issue(t, name).Write(t, cert, key)
		conf, err := c.Client.TLSFunc()
		require.NoError(t, err)
		assert.Equal(t, name, conf.Certificates[0].Leaf.Subject.CommonName)
	}

	require.NoError(t, os.WriteFile(ca, []byte("hidden"), 0o600))
	_, err = c.Client.TLSFunc()
	require.ErrorContains(t, err, "connection.tls: reading "+ca)
	require.ErrorContains(t, err, "the authorities contain no certificate in PEM format: correct these files")
	require.NoError(t, os.WriteFile(ca, authority.PEM(), 0o600))

	require.NoError(t, os.WriteFile(key, []byte("hidden"), 0o600))
	_, err = c.Client.TLSFunc()
	require.ErrorContains(t, err, key)
	assert.NotContains(t, err.Error(), "hidden")
	require.NoError(t, os.Remove(key))
	_, err = c.Client.TLSFunc()
	require.ErrorContains(t, err, key+": no such file or directory")
}

func TestTLSErrorNamesTheFile(t *testing.T) {
	_, err := parseTLS(t, "root_cas_file: /no/such/file")
	require.ErrorContains(t, err, "field connection: tls: reading /no/such/file: ")
	_, err = parseTLS(t, "root_cas: hidden")
	require.ErrorContains(t, err, "tls: the authorities contain no certificate in PEM format")
	assert.NotContains(t, err.Error(), "hidden")
}
