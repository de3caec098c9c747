//go:build !linux

package kafkatest

import "os/exec"

// endWithParent can do nothing on this system.
func endWithParent(*exec.Cmd) {}
