package journal_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramesAreDequeuedInOrderAndStayUntilTheyAreAcknowledged(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a", "b", "c", "d")
	for _, expected := range []string{"a", "b", "c"} {
		item := h.dequeue()
		assert.Equal(t, value{text: expected}, item.Value)
		if expected != "b" {
			item.Ack()
			item.Ack()
		}
	}
	left, lost := h.close()
	assert.Equal(t, journal.Backlog{Frames: 2, Messages: 2, Size: 2}, left)
	assert.Zero(t, lost)

	h = open(t, path)
	h.enqueue("e")
	assert.Equal(t, value{"b", true}, h.dequeue().Value)
	assert.Equal(t, value{"d", true}, h.dequeue().Value)
	assert.Equal(t, value{"e", false}, h.dequeue().Value)
	left, _ = h.close()
	assert.Equal(t, 3, left.Frames)
	assert.NoFileExists(t, path+"-wal", "only one file is left")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFramesThatDoNotFitInMemoryKeepTheirOrderAndTheFileShrinksAgain(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	const frames = 400
	padding := bytes.Repeat([]byte("x"), 100<<10) // 40 MB in total
	text := func(i int) string { return fmt.Sprintf("%d %s", i, padding) }
	for i := range frames {
		h.enqueue(text(i))
	}
	require.Eventually(t, func() bool { return fileSize(t, path) > 30<<20 }, waitLimit, time.Millisecond)
	for i := range frames {
		item := h.dequeue()
		require.Equal(t, text(i), item.Value.text)
		item.Ack()
	}
	for i := range 200 { // the file shrinks while the journal is in use
		h.enqueue(fmt.Sprint("small ", i))
		h.dequeue().Ack()
	}
	require.Eventually(t, func() bool { return fileSize(t, path) < 8<<20 }, waitLimit, time.Millisecond)
	left, _ := h.close()
	assert.Zero(t, left)
	assert.Less(t, fileSize(t, path), int64(64<<10))
	assert.Empty(t, h.errs)
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestEnqueueBlocksWhileTheJournalIsFullUnlessItsContextHasEnded(t *testing.T) {
	h := openSized(t, newPath(t), 10)
	h.enqueue("12345", "12345")
	enqueued := make(chan struct{})
	go func() {
		defer close(enqueued)
		h.enqueue("67890")
	}()
	require.Eventually(t, func() bool { return len(h.fullChanges()) == 1 }, waitLimit, time.Millisecond)
	select {
	case <-enqueued:
		require.Fail(t, "a full journal took a frame")
	default:
	}
	h.dequeue().Ack()
	h.dequeue().Ack()
	<-enqueued
	require.Eventually(t, func() bool { return len(h.fullChanges()) == 2 }, waitLimit, time.Millisecond)
	assert.Equal(t, []bool{true, false}, h.fullChanges())

	h.Enqueue(canceled(t), record("much too large"), value{})
	left, lost := h.close()
	assert.Equal(t, 2, left.Frames)
	assert.Zero(t, lost)
}

func TestDequeueBlocksUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, newPath(t))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := h.Dequeue(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		h.enqueue("a")
		h.close()
	})
}

func TestTryDequeueDoesNotBlock(t *testing.T) {
	h := open(t, newPath(t))
	_, ok := h.TryDequeue()
	assert.False(t, ok)
	h.enqueue("a", "b")
	h.dequeue().Ack()
	var item journal.Item[value]
	require.Eventually(t, func() bool { item, ok = h.TryDequeue(); return ok }, waitLimit, time.Millisecond)
	assert.Equal(t, value{text: "b"}, item.Value)
	left, _ := h.close()
	assert.Equal(t, 1, left.Frames)
}

func TestFullDiskBlocksEnqueueAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		h := open(t, path)
		h.enqueue("a")
		first := h.dequeue()
		require.NoError(t, h.LimitPages(t.Context(), 20))
		large := "large " + string(bytes.Repeat([]byte("x"), 100<<10))
		h.enqueue(large)
		synctest.Wait()
		err := h.lastErr()
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "free some space")

		enqueued := make(chan struct{})
		go func() {
			defer close(enqueued)
			h.enqueue("b")
		}()
		first.Ack() // the disk has enough space for this
		synctest.Wait()
		select {
		case <-enqueued:
			require.Fail(t, "a journal with an error took a frame")
		default:
		}
		require.NoError(t, h.LimitPages(t.Context(), 1_000_000))
		<-enqueued
		assert.Equal(t, large, h.dequeue().Value.text)
		assert.Equal(t, "b", h.dequeue().Value.text)
		require.NoError(t, h.lastErr(), "OnError(nil) was called")
		h.close()
	})
}

func TestCloseCountsTheFramesThatAFullDiskLost(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	h.dequeue()
	require.NoError(t, h.LimitPages(t.Context(), 20))
	h.enqueue("large " + string(bytes.Repeat([]byte("x"), 100<<10)))
	require.Error(t, h.awaitErr())
	left, lost, err := h.Close()
	require.ErrorContains(t, err, "free some space")
	assert.Equal(t, 1, left.Messages)
	assert.Equal(t, 1, lost.Messages)
	h = open(t, path)
	assert.Equal(t, value{"a", true}, h.dequeue().Value)
	h.close()
}

func TestCorruptFrameStopsLoadingAndEarlierFramesAreDelivered(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("whole", "spoilt: 0123456789", "whole too")
	h.close()
	replaceInFile(t, path, "0123456789", "012345678_")

	h = open(t, path)
	assert.Equal(t, "whole", h.dequeue().Value.text)
	err := h.awaitErr()
	require.ErrorContains(t, err, "frame 2")
	require.ErrorContains(t, err, "checksum")
	left, lost := h.close()
	assert.Equal(t, 3, left.Frames)
	assert.Zero(t, lost)

	replaceInFile(t, path, "012345678_", "0123456789")
	h = open(t, path)
	for range 3 {
		h.dequeue()
	}
	h.close()
}

func TestErrorNamesTheFrameThatCannotBeDecoded(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("undecodable")
	h.close()
	h = open(t, path)
	require.ErrorContains(t, h.awaitErr(), "frame 1")
	h.close()
}

func replaceInFile(t *testing.T, path, from, to string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(content), from)
	require.NoError(t, os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600))
}

func TestIDsOfAcknowledgedMessagesAreKeptUpToTheLimit(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	for i := range 100 {
		r := journal.Record{Source: "/t", IDs: []string{strconv.Itoa(i)}, Messages: 1, Raw: []byte("x")}
		h.Enqueue(t.Context(), r, value{})
		h.dequeue().Ack()
	}
	left, _ := h.close()
	assert.Zero(t, left)
	h = open(t, path)
	assert.Equal(t, []string{"90", "91", "92", "93", "94", "95", "96", "97", "98", "99"}, h.latest["/t"])
	h.enqueue("after") // gets a sequence number that was never used
	assert.Equal(t, value{text: "after"}, h.dequeue().Value)
	h.close()
}

func TestLatestIDsIncludeFramesThatAreNotAcknowledged(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a", "b", "c")
	h.Enqueue(t.Context(), journal.Record{Source: "/other", IDs: []string{"z"}, Raw: []byte("z")}, value{})
	h.close()
	h = open(t, path)
	assert.Equal(t, []string{"a", "b", "c"}, h.latest["/t"])
	h.close()
}

// ackedFrames counts the acknowledged frames whose ids a closed journal has.
func ackedFrames(t *testing.T, path, source string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	require.NoError(t, err)
	row := db.QueryRowContext(t.Context(), "SELECT count(*) FROM settled WHERE source = ?", source)
	require.NoError(t, row.Scan(&n))
	require.NoError(t, db.Close())
	return n
}

func TestIDsStayBoundedOverManyRuns(t *testing.T) {
	path := newPath(t)
	for run := range 20 {
		h := open(t, path)
		if run == 0 {
			h.Enqueue(t.Context(), journal.Record{Source: "/quiet", IDs: []string{"q"}, Messages: 1, Raw: []byte("q")}, value{})
			h.dequeue().Ack()
		}
		for i := range 9 {
			h.enqueue(strconv.Itoa(i))
			h.dequeue().Ack()
		}
		h.close()
	}
	assert.LessOrEqual(t, ackedFrames(t, path, "/t"), 20)
	assert.Equal(t, 1, ackedFrames(t, path, "/quiet"), "a busy source does not displace a quiet one")
}

func TestJournalRecoversFromAnErrorThatLeftNoWork(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	h.dequeue().Ack()
	h.SetErr(errors.New("shrinking the journal failed"))
	h.enqueue("b")
	assert.Equal(t, "b", h.dequeue().Value.text)
	h.close()
}

func TestNewFramesAreWrittenWhileOldFramesAreLoaded(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	frame := strings.Repeat("x", 300<<10)
	for range 12 { // 3.5 MiB; loading stops at 4 MiB
		h.enqueue(frame)
	}
	h.close()

	h = &harness{t: t}
	options, opened, decoded := h.options(path, 1<<30), make(chan struct{}), 0
	options.Decode = func(journal.Record) (value, error) {
		<-opened
		decoded++
		if decoded == 1 {
			h.enqueue("news")
		}
		written, err := os.ReadFile(path + "-wal")
		assert.True(t, decoded < 3 || bytes.Contains(written, []byte("news")), "after %d frames", decoded)
		return value{}, err
	}
	var err error
	h.Journal, err = journal.Open(t.Context(), options)
	require.NoError(t, err)
	close(opened)
	for range 12 {
		h.dequeue()
	}
	h.close()
}
