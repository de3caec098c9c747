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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramesComeOutInOrderAndStayUntilTheyAreSettled(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a", "b", "c", "d")
	for _, expected := range []string{"a", "b", "c"} {
		taken := k.next()
		assert.Equal(t, item{text: expected}, taken.Value)
		if expected != "b" {
			taken.Ack()
			taken.Ack()
		}
	}
	left, lost := k.close()
	assert.Equal(t, journal.Backlog{Frames: 2, Messages: 2, Size: 2}, left)
	assert.Zero(t, lost)

	k = open(t, path)
	k.add("e")
	assert.Equal(t, item{"b", true}, k.next().Value)
	assert.Equal(t, item{"d", true}, k.next().Value)
	assert.Equal(t, item{"e", false}, k.next().Value)
	left, _ = k.close()
	assert.Equal(t, 3, left.Frames)
	assert.NoFileExists(t, path+"-wal", "one file is left")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestBacklogBeyondMemoryComesInOrderAndTheFileShrinksAgain(t *testing.T) {
	path := place(t)
	k := open(t, path)
	const frames = 400
	filling := bytes.Repeat([]byte("x"), 100<<10) // 40 MB together
	text := func(i int) string { return fmt.Sprintf("%d %s", i, filling) }
	for i := range frames {
		k.add(text(i))
	}
	require.Eventually(t, func() bool { return size(t, path) > 30<<20 }, limit, time.Millisecond)
	for i := range frames {
		taken := k.next()
		require.Equal(t, text(i), taken.Value.text)
		taken.Ack()
	}
	for i := range 200 { // work goes on, and the file shrinks beside it
		k.add(fmt.Sprint("small ", i))
		k.next().Ack()
	}
	require.Eventually(t, func() bool { return size(t, path) < 8<<20 }, limit, time.Millisecond)
	left, _ := k.close()
	assert.Zero(t, left)
	assert.Less(t, size(t, path), int64(64<<10))
	assert.Empty(t, k.faults)
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestFullJournalMakesWaitAndTakesWhatHasNoOtherPlace(t *testing.T) {
	k := openSized(t, place(t), 10)
	k.add("12345", "12345")
	added := make(chan struct{})
	go func() {
		defer close(added)
		k.add("67890")
	}()
	require.Eventually(t, func() bool { return len(k.allFull()) == 1 }, limit, time.Millisecond)
	select {
	case <-added:
		require.Fail(t, "there was no room")
	default:
	}
	k.next().Ack()
	k.next().Ack()
	<-added
	require.Eventually(t, func() bool { return len(k.allFull()) == 2 }, limit, time.Millisecond)
	assert.Equal(t, []bool{true, false}, k.allFull())

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	k.Enqueue(ended, record("much too large"), item{})
	left, lost := k.close()
	assert.Equal(t, 2, left.Frames)
	assert.Zero(t, lost)
}

func TestNextWaitsUntilItsContextEnds(t *testing.T) {
	k := open(t, place(t))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := k.Dequeue(ctx)
	require.ErrorIs(t, err, context.Canceled)
	k.add("a")
	k.close()
}

func TestNextWaitingDoesNotWait(t *testing.T) {
	k := open(t, place(t))
	_, ok := k.TryDequeue()
	assert.False(t, ok)
	k.add("a", "b")
	k.next().Ack()
	var taken journal.Item[item]
	require.Eventually(t, func() bool { taken, ok = k.TryDequeue(); return ok }, limit, time.Millisecond)
	assert.Equal(t, item{text: "b"}, taken.Value)
	left, _ := k.close()
	assert.Equal(t, 1, left.Frames)
}

func TestFullDiskStopsTheReadingAndLosesNothing(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	first := k.next()
	require.NoError(t, k.LimitPages(t.Context(), 20))
	large := "large " + string(bytes.Repeat([]byte("x"), 100<<10))
	k.add(large)
	fault := k.awaitFault()
	require.ErrorContains(t, fault, path)
	require.ErrorContains(t, fault, "make room")

	added := make(chan struct{})
	go func() {
		defer close(added)
		k.add("b")
	}()
	first.Ack() // which needs no room
	select {
	case <-added:
		require.Fail(t, "it stops taking")
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, k.LimitPages(t.Context(), 1_000_000))
	<-added
	assert.Equal(t, large, k.next().Value.text)
	assert.Equal(t, "b", k.next().Value.text)
	require.NoError(t, k.lastFault(), "told that it works again")
	k.close()
}

func TestWhatAFullDiskDidNotTakeIsCountedAtTheEnd(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	k.next()
	require.NoError(t, k.LimitPages(t.Context(), 20))
	k.add("large " + string(bytes.Repeat([]byte("x"), 100<<10)))
	require.Error(t, k.awaitFault())
	left, lost, err := k.Close()
	require.ErrorContains(t, err, "make room")
	assert.Equal(t, 1, left.Messages)
	assert.Equal(t, 1, lost.Messages)
	k = open(t, path)
	assert.Equal(t, item{"a", true}, k.next().Value)
	k.close()
}

func TestFrameWithABrokenContentStopsTheReadingAndWhatIsBeforeItComes(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("whole", "spoilt: 0123456789", "whole too")
	k.close()
	spoil(t, path, "0123456789", "012345678_")

	k = open(t, path)
	assert.Equal(t, "whole", k.next().Value.text)
	fault := k.awaitFault()
	require.ErrorContains(t, fault, "frame 2")
	require.ErrorContains(t, fault, "checksum")
	left, lost := k.close()
	assert.Equal(t, 3, left.Frames)
	assert.Zero(t, lost)

	spoil(t, path, "012345678_", "0123456789")
	k = open(t, path)
	for range 3 {
		k.next()
	}
	k.close()
}

func TestFrameThatCannotBeDecodedIsNamed(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("undecodable")
	k.close()
	k = open(t, path)
	require.ErrorContains(t, k.awaitFault(), "frame 1")
	k.close()
}

// spoil changes bytes of a file.
func spoil(t *testing.T, path, from, to string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(content), from)
	require.NoError(t, os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600))
}

func TestIDsOfWhatWasSettledAreRememberedWithinABound(t *testing.T) {
	path := place(t)
	k := open(t, path)
	for i := range 100 {
		r := journal.Record{Source: "/t", IDs: []string{strconv.Itoa(i)}, Messages: 1, Raw: []byte("x")}
		k.Enqueue(t.Context(), r, item{})
		k.next().Ack()
	}
	left, _ := k.close()
	assert.Zero(t, left)
	k = open(t, path)
	assert.Equal(t, []string{"90", "91", "92", "93", "94", "95", "96", "97", "98", "99"}, k.latest["/t"])
	k.add("after") // with a number that was not used before
	assert.Equal(t, item{text: "after"}, k.next().Value)
	k.close()
}

func TestLatestIDsAreThoseOfTheNewestFrames(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a", "b", "c")
	k.Enqueue(t.Context(), journal.Record{Source: "/other", IDs: []string{"z"}, Raw: []byte("z")}, item{})
	k.close()
	k = open(t, path)
	assert.Equal(t, []string{"a", "b", "c"}, k.latest["/t"])
	k.close()
}

// settled counts what a journal that is closed remembers.
func settled(t *testing.T, path, source string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	require.NoError(t, err)
	row := db.QueryRowContext(t.Context(), "SELECT count(*) FROM settled WHERE source = ?", source)
	require.NoError(t, row.Scan(&n))
	require.NoError(t, db.Close())
	return n
}

func TestWhatIsRememberedStaysBoundedOverManyRuns(t *testing.T) {
	path := place(t)
	for run := range 20 {
		k := open(t, path)
		if run == 0 {
			k.Enqueue(t.Context(), journal.Record{Source: "/quiet", IDs: []string{"q"}, Messages: 1, Raw: []byte("q")}, item{})
			k.next().Ack()
		}
		for i := range 9 {
			k.add(strconv.Itoa(i))
			k.next().Ack()
		}
		k.close()
	}
	assert.LessOrEqual(t, settled(t, path, "/t"), 20)
	assert.Equal(t, 1, settled(t, path, "/quiet"), "a busy source does not drive out a quiet one")
}

func TestJournalWorksOnAfterAFaultThatLeftNothingToDo(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	k.next().Ack()
	k.SetFault(errors.New("of tidying up"))
	k.add("b")
	assert.Equal(t, "b", k.next().Value.text)
	k.close()
}

func TestWhatIsAddedIsReleaseWhileMuchIsReadAgain(t *testing.T) {
	path := place(t)
	k := open(t, path)
	frame := strings.Repeat("x", 300<<10)
	for range 12 { // 3.5 MiB, of which 4 are read ahead
		k.add(frame)
	}
	k.close()

	k = &kept{t: t}
	options, opened, decoded := k.options(path, 1<<30), make(chan struct{}), 0
	options.Decode = func(journal.Record) (item, error) {
		<-opened
		decoded++
		if decoded == 1 {
			k.add("news")
		}
		written, err := os.ReadFile(path + "-wal")
		assert.True(t, decoded < 3 || bytes.Contains(written, []byte("news")), "after %d frames", decoded)
		return item{}, err
	}
	var err error
	k.Journal, err = journal.Open(t.Context(), options)
	require.NoError(t, err)
	close(opened)
	for range 12 {
		k.next()
	}
	k.close()
}
