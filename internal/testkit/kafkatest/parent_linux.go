package kafkatest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes a process end with a test that is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
