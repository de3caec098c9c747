package proxies_test

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel ask a process to end when the test process ends, so that
// the proxy ends its workers.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
