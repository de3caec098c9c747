//go:build unix

package zato_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
)

// eventTimeout is how long the tests wait for an event of a process.
const eventTimeout = 2 * time.Minute

// pollInterval is the time between two looks at a file or a log.
const pollInterval = 5 * time.Millisecond

// process is a process of the binary.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   logtest.Buffer
	ended chan struct{}
	err   error // valid once ended is closed
}

// startProcess runs a configuration in a folder. The process is killed when the test ends.
func startProcess(t *testing.T, dir, config string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), binary, "run", config), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has exited already, unless the test failed
		<-p.ended
		if t.Failed() {
			t.Logf("log of a process that ran %s:\n%s", config, &p.log)
		}
	})
	return p
}

// awaitLogs waits until the log contains a text n times.
func (p *process) awaitLogs(text string, n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Count(p.log.String(), text) >= n }, eventTimeout, pollInterval,
		"%q is not in the log %d times:\n%s", text, n, &p.log)
}

// freeze suspends the process with SIGSTOP.
func (p *process) freeze() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP)) }

// thaw resumes a frozen process.
func (p *process) thaw() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT)) }

// kill kills the process with SIGKILL.
func (p *process) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.ended
}

// stop stops the process with SIGTERM. It must exit with 0.
func (p *process) stop() {
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.awaitExit()
}

// awaitExit waits until the process exits with 0.
func (p *process) awaitExit() {
	p.t.Helper()
	select {
	case <-p.ended:
		require.NoError(p.t, p.err, "%s", &p.log)
	case <-time.After(eventTimeout):
		require.Fail(p.t, "the process did not exit", "%s", &p.log)
	}
}
