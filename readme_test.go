package main_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestTheReadmePublishesAFileInThreeCommandsAtMost(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```sh\n([^`]*examples/file-to-zato.yaml\n)```").FindSubmatch(readme)
	require.NotNil(t, block, "the README shows how")
	commands := string(block[1])
	assert.LessOrEqual(t, strings.Count(commands, "\n"), 3)

	server := startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/orders/new"}))
	t.Cleanup(func() { _ = os.Remove("/tmp/order.jsonl") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // it may build everything first
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", commands)
	cmd.Env = append(os.Environ(), zatoEnv(server)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, []string{`{"id": 1}`}, published(t, server, "/orders/new", 1))
}
