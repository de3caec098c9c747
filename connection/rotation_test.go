package connection_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestPipelineThatWasRefusedUsesANewSecretFileSoon(t *testing.T) {
	server := startServer(t)
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("hidden-old\n"), 0o600))
	conn := strings.Replace(connection(server), "secret: "+secret, "secret_file: "+path, 1)
	s := streamtest.Start(t, roundTrip(conn))
	s.AwaitLog("login refused")
	acked := s.Feed(`"x"`)
	require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	start := time.Now()
	require.NoError(t, s.AwaitAck(acked))
	s.Next()
	assert.Less(t, time.Since(start), 10*time.Second, "a rejected client waits at least 15 seconds")
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "hidden")
}
