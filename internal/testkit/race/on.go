//go:build race

package race

// Enabled reports whether the race detector is on. It makes timings and allocation
// counts meaningless.
const Enabled = true
