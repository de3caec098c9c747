// Package race lets tests find out whether the race detector is on.
package race
