//go:build !linux

package kafkatest

import "os/exec"

// endWithParent does nothing, because this system has no such signal.
func endWithParent(*exec.Cmd) {}
