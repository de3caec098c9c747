package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestReadmePublishesAFileInAtMostThreeCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```sh\n([^`]*examples/file-to-zato.yaml\n)```").FindSubmatch(readme)
	require.NotNil(t, block, "the README has no such example")
	commands := string(block[1])
	assert.LessOrEqual(t, strings.Count(commands, "\n"), 3)

	server := startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/orders/new"}))
	t.Cleanup(func() { _ = os.Remove("/tmp/order.jsonl") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // the commands may build the binary
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", commands)
	cmd.Env = append(os.Environ(), zatoEnv(server)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, []string{`{"id": 1}`}, awaitPublished(t, server, "/orders/new", 1))
}

// durationPattern matches a measured time, which differs between runs.
var durationPattern = regexp.MustCompile(`[0-9]+\.[0-9] ms`)

func TestReadmeShowsTheActualOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, block, "the README shows no session")
	address := streamtest.FreeAddress(t)
	normalize := func(text string) string {
		return durationPattern.ReplaceAllString(strings.ReplaceAll(text, address, "127.0.0.1:35100"), "0.1 ms")
	}
	for _, session := range strings.Split(string(block[1]), "$ ./zato-connect ")[1:] {
		line, expected, _ := strings.Cut(session, "\n")
		cmd := command(t, time.Minute, []string{"ZATO_SIMULATOR_ADDRESS=" + address}, strings.Fields(line)...)
		out, err := cmd.Output()
		require.NoError(t, err, line)
		expected, _, abbreviated := strings.Cut(expected, "...\n")
		if !abbreviated {
			assert.Equal(t, normalize(expected), normalize(string(out)), line)
			continue
		}
		for line := range strings.Lines(expected) {
			assert.Contains(t, string(out), line) // the order may differ
		}
	}
}

func TestReadmeGoCodeCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		code := string(block[1])
		if !strings.HasPrefix(code, "package ") {
			code = `package main
import (
	"context"
	"github.com/zato-connect/zato-connect/wsx"
)
func main() { _ = part(context.Background(), "") }
func part(ctx context.Context, secret wsx.Secret) error {` + code + `_ = answer
return nil
}`
		}
		path := filepath.Join(t.TempDir(), "main.go")
		require.NoError(t, os.WriteFile(path, []byte(code), 0o600))
		out, err := exec.CommandContext(t.Context(), "go", "vet", path).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	}
}
