package kafkatest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill a process when the test process ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
