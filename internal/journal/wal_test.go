package journal_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
)

// segmentSizes returns the sizes of both segments, -1 for one that does not exist.
func segmentSizes(t *testing.T, path string) (sizes [2]int64) {
	t.Helper()
	for i, name := range []string{path + "-read1", path + "-read2"} {
		info, err := os.Stat(name)
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			sizes[i] = -1
			continue
		}
		sizes[i] = info.Size()
	}
	return sizes
}

// copyAsKilled copies the files as they would be if the process was killed now.
func copyAsKilled(t *testing.T, path string) (copied string) {
	t.Helper()
	copied = newPath(t)
	for _, suffix := range []string{"", "-wal", "-read1", "-read2"} {
		content, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied+suffix, content, 0o600))
	}
	return copied
}

func TestAppendedFramesAreRecoveredAfterAKill(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	h.dequeue()
	for _, text := range []string{"b", "c", "a"} { // the store has a
		require.NotNil(t, h.Append("/t", []byte(text)))
	}
	restarted := open(t, copyAsKilled(t, path))
	for _, text := range []string{"a", "b", "c"} {
		item := restarted.dequeue()
		assert.Equal(t, value{text, true}, item.Value)
		item.Ack()
	}
	left, _ := restarted.close()
	assert.Zero(t, left)
	h.close()
}

func TestRecoverGetsTheIDsOfAllFramesInBothFiles(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	texts := strings.Split("abcdefghijklmnopqrst", "") // twice the DedupLimit
	for _, text := range texts[:len(texts)-1] {
		require.NotNil(t, h.Append("/t", []byte(text)))
		h.enqueue(text) // without an Ack, as if the process was killed before it was called
		h.dequeue()
	}
	require.NotNil(t, h.Append("/t", []byte("t")))
	restarted := open(t, copyAsKilled(t, path))
	for _, text := range texts {
		assert.Equal(t, value{text, true}, restarted.dequeue().Value)
	}
	left, _ := restarted.close()
	assert.Equal(t, len(texts), left.Messages)
	h.close()
}

func TestRecoverGetsTheIDsOfFramesBeforeThoseThatWereNotAppended(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	require.NotNil(t, h.Append("/t", []byte("a")))
	for text := range strings.SplitSeq("abcdefghijklmnopqrst", "") {
		h.enqueue(text)
		h.dequeue()
	}
	restarted := open(t, copyAsKilled(t, path))
	left, _ := restarted.close()
	assert.Equal(t, 20, left.Messages)
	h.close()
}

func TestAcknowledgedFramesAreNotRecovered(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	ack := h.Append("/t", []byte("repeat"))
	ack()
	h.appendAndEnqueue("b", "c")
	h.dequeue().Ack()
	h.dequeue().Ack()
	h.appendAndEnqueue("d")
	h.dequeue() // is ready once the earlier acknowledgements are written
	restarted := open(t, copyAsKilled(t, path))
	require.Len(t, restarted.unacked, 1)
	assert.Equal(t, "d", string(restarted.unacked[0].Raw))
	assert.Equal(t, []string{"b", "c"}, restarted.latest["/t"])
	left, _ := restarted.close()
	assert.Equal(t, 1, left.Messages)
	left, _ = h.close()
	assert.Equal(t, 1, left.Messages)
	assert.Equal(t, [2]int64{-1, -1}, segmentSizes(t, path), "Close removes the segments")
	h = open(t, path)
	assert.Equal(t, value{"d", true}, h.dequeue().Value)
	h.close()
}

func TestCheckpointKeepsTheOrderOfFrames(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.appendAndEnqueue("a", "b")
	h.dequeue()
	h.enqueue("c") // is not in the log, so all three go into the store
	h.dequeue()
	h.dequeue()
	h.appendAndEnqueue("d")
	h.dequeue()
	restarted := open(t, copyAsKilled(t, path))
	require.Len(t, restarted.unacked, 1)
	for _, text := range []string{"a", "b", "c", "d"} {
		assert.Equal(t, value{text, true}, restarted.dequeue().Value)
	}
	restarted.close()
	h.close()
}

func TestLogStaysSmallWhetherOrNotAnOldFrameIsLive(t *testing.T) {
	for _, oldFrame := range []bool{false, true} {
		path := newPath(t)
		h := open(t, path)
		if oldFrame {
			h.appendAndEnqueue("old")
			h.dequeue()
		}
		largest := int64(0)
		for i := range 600 {
			h.appendAndEnqueue(fmt.Sprintf("%c%s", 'A'+i%26, strings.Repeat("x", 100<<10)))
			h.dequeue().Ack()
			sizes := segmentSizes(t, path)
			largest = max(largest, sizes[0]+sizes[1])
		}
		assert.Greater(t, largest, int64(7<<20))
		if oldFrame {
			assert.Less(t, largest, int64(42<<20))
		} else {
			assert.Less(t, largest, int64(18<<20))
		}
		restarted := open(t, copyAsKilled(t, path))
		if oldFrame {
			assert.Equal(t, value{"old", true}, restarted.dequeue().Value)
		}
		restarted.close()
		h.close()
	}
}

func TestReplayStopsAtATruncatedRecord(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	require.NotNil(t, h.Append("/t", []byte("whole")))
	require.NotNil(t, h.Append("/t", []byte("half of it")))
	for name, damage := range map[string]func([]byte) []byte{
		"cut":    func(content []byte) []byte { return content[:len(content)-1] },
		"zeroed": func(content []byte) []byte { return bytes.Replace(content, []byte("half"), make([]byte, 4), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			copied := copyAsKilled(t, path)
			content, err := os.ReadFile(copied + "-read1")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(copied+"-read1", damage(content), 0o600))
			restarted := open(t, copied)
			assert.Equal(t, value{"whole", true}, restarted.dequeue().Value)
			left, _ := restarted.close()
			assert.Equal(t, 1, left.Messages)
		})
	}
	h.close()
}

func TestFramesThatTheStoreCannotTakeStayInTheLog(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	h.dequeue()
	require.NoError(t, h.LimitPages(t.Context(), 1))
	r := record("b" + strings.Repeat("x", 17<<20)) // more than may be in the log and in memory
	r.Ack = h.Append("/t", r.Raw)
	h.Enqueue(t.Context(), r, value{})
	require.Error(t, h.awaitErr())
	h.Enqueue(canceled(t), record("c"), value{})
	left, lost, err := h.Close()
	require.ErrorContains(t, err, "the disk is full")
	assert.Equal(t, 2, left.Messages)
	assert.Equal(t, 1, lost.Messages, "c is not in the log")
	h = open(t, path)
	assert.Equal(t, value{"a", true}, h.dequeue().Value)
	assert.Equal(t, value{string(r.Raw), true}, h.dequeue().Value)
	h.close()
}

// Modes of divertWAL. Writes to /dev/null succeed and are lost, and syncs fail.
const (
	syncsFail  = os.O_WRONLY
	writesFail = os.O_RDONLY
)

// divertWAL redirects the current segment to /dev/null, until restore is called.
func (h *harness) divertWAL(mode int) (restore func()) {
	h.t.Helper()
	to, err := os.OpenFile(os.DevNull, mode, 0)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { assert.NoError(h.t, to.Close()) })
	return h.DivertWAL(to)
}

func TestFramesGoIntoTheStoreAfterASyncOfTheLogFailed(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	restore := h.divertWAL(syncsFail)
	a, b := record("a"), record("b")
	a.Ack, b.Ack = h.Append("/t", a.Raw), h.Append("/t", b.Raw)
	h.Enqueue(t.Context(), a, value{text: "a"}) // its sync fails, so the segment of both is suspect
	require.ErrorContains(t, h.awaitErr(), path)
	restore()
	assert.Equal(t, "a", h.dequeue().Value.text)
	h.Enqueue(t.Context(), b, value{text: "b"})
	assert.Equal(t, "b", h.dequeue().Value.text)
	require.NoError(t, h.lastErr(), "OnError(nil) was called")
	restarted := open(t, copyAsKilled(t, path))
	assert.Equal(t, value{"a", true}, restarted.dequeue().Value)
	assert.Equal(t, value{"b", true}, restarted.dequeue().Value)
	restarted.close()

	h.appendAndEnqueue("c") // stays in the log, because the segment was truncated
	h.dequeue()
	restarted = open(t, copyAsKilled(t, path))
	require.Len(t, restarted.unacked, 1)
	assert.Equal(t, "c", string(restarted.unacked[0].Raw))
	restarted.close()
	h.close()
}

func TestNoFrameIsAppendedAfterHalfARecord(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.appendAndEnqueue("a")
	h.dequeue()
	segment, err := os.OpenFile(path+"-read1", os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = segment.WriteString("half of it")
	require.NoError(t, err)
	require.NoError(t, segment.Close())
	restore := h.divertWAL(writesFail)
	require.Nil(t, h.Append("/t", []byte("half of it")))
	restore()

	require.NotNil(t, h.Append("/t", []byte("b"))) // goes to the other segment
	restarted := open(t, copyAsKilled(t, path))
	assert.Equal(t, value{"a", true}, restarted.dequeue().Value)
	assert.Equal(t, value{"b", true}, restarted.dequeue().Value)
	restarted.close()

	require.NotZero(t, segmentSizes(t, path)[0])
	h.appendAndEnqueue("c") // goes into the store after a
	h.dequeue()
	assert.Zero(t, segmentSizes(t, path)[0], "no frame in it is live")
	h.close()
}

func TestAppendFailsWhileBothSegmentsAreSuspect(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	var acks []func()
	for _, text := range []string{"a", "b"} { // one in each segment
		acks = append(acks, h.Append("/t", []byte(text)))
		restore := h.divertWAL(writesFail)
		require.Nil(t, h.Append("/t", []byte("half of it")))
		restore()
	}
	require.Nil(t, h.Append("/t", []byte("c")))
	for _, ack := range acks {
		require.NotNil(t, ack)
		ack()
	}
	h.enqueue("c")
	h.dequeue()
	assert.Equal(t, [2]int64{}, segmentSizes(t, path))
	require.NotNil(t, h.Append("/t", []byte("d")))
	h.close()
}

func TestLogIsNotReplayedWithoutTheLock(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	require.NotNil(t, h.Append("/t", []byte("a")))
	_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
	require.Error(t, err)
	assert.NotZero(t, segmentSizes(t, path)[0])
	h.close()
	h = open(t, path)
	assert.Equal(t, value{"a", true}, h.dequeue().Value)
	h.close()
}
