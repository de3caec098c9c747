//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// defaultBacklog is the number of messages in the backlog. The environment variable
	// backlogVariable overrides it.
	defaultBacklog  = 100_000
	backlogVariable = "ZATO_TEST_BACKLOG"
	// memoryLimit is in bytes.
	memoryLimit = 200 << 20
)

// largeJournal is a journal that can hold a million messages.
const largeJournal = `journal: { path: "%s/journal", max_size: 8589934592 }`

// socketOutput is an output that writes events to a socket. Its argument is the address.
const socketOutput = `
output: { socket: { network: tcp, address: %q } }
`

func TestBacklogOfABlockedPipelineTakesLittleMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skip("needs /proc to read and reset the peak memory of a process")
	}
	messages := defaultBacklog
	if text := os.Getenv(backlogVariable); text != "" {
		var err error
		messages, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	server := startEvents(t)
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	e := eventsConfig{
		address: server.Addr(), dir: t.TempDir(), journal: largeJournal, output: fmt.Sprintf(socketOutput, sink.Addr()),
	}
	for number := 1; number <= messages; number++ {
		require.NoError(t, publishEvent(server, number))
	}
	began := time.Now()
	p := start(t, e.write(t))
	blocked, err := sink.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = blocked.Close() }) // the binary has closed its end already

	require.Eventually(t, func() bool { return len(server.Delivered()) == messages }, 5*time.Minute, 500*time.Millisecond)
	now, peak := p.memory()
	t.Logf("%d messages of 1 KiB read in %s while the pipeline was blocked: %d MiB resident, %d MiB at the peak, "+
		"%d MiB of files", messages, time.Since(began).Round(time.Millisecond), now>>20, peak>>20, e.journalSize(t)>>20)
	assert.Less(t, peak, memoryLimit)
	assert.Greater(t, e.journalSize(t), messages<<10*9/10, "the pipeline was not blocked")

	p.resetPeak()
	began = time.Now()
	received := make([]bool, messages+1)
	lines := bufio.NewScanner(blocked)
	for range messages {
		require.True(t, lines.Scan(), "%v %s", lines.Err(), &p.log)
		var event printedLine
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event), lines.Text())
		require.False(t, received[event.Number], "event %d is a duplicate", event.Number)
		received[event.Number] = true
	}
	took := time.Since(began).Round(time.Millisecond)
	now, peak = p.memory()
	size := e.journalSize(t)
	p.stop()
	t.Logf("%d messages read from the journal in %s: %d MiB resident, %d MiB at the peak; files of %d KiB, %d KiB "+
		"after the process had exited", messages, took, now>>20, peak>>20, size>>10, e.journalSize(t)>>10)
	assert.Less(t, peak, memoryLimit)
	assert.Less(t, e.journalSize(t), 1<<20, "the journal did not shrink")
}

// journalSize returns the size of the journal's files in bytes.
func (e *eventsConfig) journalSize(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(e.dir, "journal*"))
	require.NoError(t, err)
	size := 0
	for _, path := range files {
		info, err := os.Stat(path)
		require.NoError(t, err)
		size += int(info.Size())
	}
	return size
}

var memoryLine = regexp.MustCompile(`(VmRSS|VmHWM):\s*(\d+) kB`)

// memory returns the resident memory of the process and its peak, in bytes.
func (p *process) memory() (now, peak int) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for _, found := range memoryLine.FindAllSubmatch(status, -1) {
		n, err := strconv.Atoi(string(found[2]))
		require.NoError(p.t, err)
		if string(found[1]) == "VmRSS" {
			now = n << 10
		} else {
			peak = n << 10
		}
	}
	return now, peak
}

// resetPeak resets the peak to the current resident memory.
func (p *process) resetPeak() {
	p.t.Helper()
	path := fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid)
	require.NoError(p.t, os.WriteFile(path, []byte("5"), 0o200))
}
