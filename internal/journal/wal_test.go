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

// keptFiles returns the sizes of the files that Keep writes, and of those that are
// not there.
func keptFiles(t *testing.T, path string) (sizes [2]int64) {
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

// killed copies what a process that is killed now would leave.
func killed(t *testing.T, path string) (copied string) {
	t.Helper()
	copied = place(t)
	for _, ending := range []string{"", "-wal", "-read1", "-read2"} {
		content, err := os.ReadFile(path + ending)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied+ending, content, 0o600))
	}
	return copied
}

func TestWhatWasKeptComesAfterAKill(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	k.next()
	for _, text := range []string{"b", "c", "a"} { // a is in the file
		require.NotNil(t, k.Append("/t", []byte(text)))
	}
	after := open(t, killed(t, path))
	for _, text := range []string{"a", "b", "c"} {
		taken := after.next()
		assert.Equal(t, item{text, true}, taken.Value)
		taken.Ack()
	}
	left, _ := after.close()
	assert.Zero(t, left)
	k.close()
}

func TestWhatIsInTheFileTooIsKnownHoweverMuchItIs(t *testing.T) {
	path := place(t)
	k := open(t, path)
	texts := strings.Split("abcdefghijklmnopqrst", "") // twice what is remembered
	for _, text := range texts[:len(texts)-1] {
		require.NotNil(t, k.Append("/t", []byte(text)))
		k.add(text) // and is not released, as if the process was killed before that
		k.next()
	}
	require.NotNil(t, k.Append("/t", []byte("t")))
	after := open(t, killed(t, path))
	for _, text := range texts {
		assert.Equal(t, item{text, true}, after.next().Value)
	}
	left, _ := after.close()
	assert.Equal(t, len(texts), left.Messages)
	k.close()
}

func TestWhatIsInTheFileTooIsKnownBehindFramesThatWereNotKept(t *testing.T) {
	path := place(t)
	k := open(t, path)
	require.NotNil(t, k.Append("/t", []byte("a")))
	for text := range strings.SplitSeq("abcdefghijklmnopqrst", "") {
		k.add(text)
		k.next()
	}
	after := open(t, killed(t, path))
	left, _ := after.close()
	assert.Equal(t, 20, left.Messages)
	k.close()
}

// addKept adds frames as a client does: each is kept first.
func (k *kept) addKept(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		r := record(text)
		r.Ack = k.Append("/t", r.Raw)
		require.NotNil(k.t, r.Ack)
		k.Enqueue(k.t.Context(), r, item{text: text})
	}
}

func TestWhatIsSettledOrNotWantedIsKeptNoMore(t *testing.T) {
	path := place(t)
	k := open(t, path)
	release := k.Append("/t", []byte("repeat"))
	release()
	k.addKept("b", "c")
	k.next().Ack()
	k.next().Ack()
	k.addKept("d")
	k.next() // comes after what was settled before is on disk
	after := open(t, killed(t, path))
	require.Len(t, after.recovered, 1)
	assert.Equal(t, "d", string(after.recovered[0].Raw))
	assert.Equal(t, []string{"b", "c"}, after.latest["/t"])
	left, _ := after.close()
	assert.Equal(t, 1, left.Messages)
	left, _ = k.close()
	assert.Equal(t, 1, left.Messages)
	assert.Equal(t, [2]int64{-1, -1}, keptFiles(t, path), "nothing is left beside the journal")
	k = open(t, path)
	assert.Equal(t, item{"d", true}, k.next().Value)
	k.close()
}

func TestFramesThatGoToTheFileTakeThoseBeforeThemAlong(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.addKept("a", "b")
	k.next()
	k.add("c") // was not kept
	k.next()
	k.next()
	k.addKept("d")
	k.next()
	after := open(t, killed(t, path))
	require.Len(t, after.recovered, 1)
	for _, text := range []string{"a", "b", "c", "d"} {
		assert.Equal(t, item{text, true}, after.next().Value)
	}
	after.close()
	k.close()
}

func TestWhatIsKeptTakesLittleRoomWhateverWaits(t *testing.T) {
	for _, waits := range []bool{false, true} {
		path := place(t)
		k := open(t, path)
		if waits {
			k.addKept("old")
			k.next()
		}
		most := int64(0)
		for i := range 600 {
			k.addKept(fmt.Sprintf("%c%s", 'A'+i%26, strings.Repeat("x", 100<<10)))
			k.next().Ack()
			sizes := keptFiles(t, path)
			most = max(most, sizes[0]+sizes[1])
		}
		assert.Greater(t, most, int64(7<<20))
		if waits {
			assert.Less(t, most, int64(42<<20))
		} else {
			assert.Less(t, most, int64(18<<20))
		}
		after := open(t, killed(t, path))
		if waits {
			assert.Equal(t, item{"old", true}, after.next().Value)
		}
		after.close()
		k.close()
	}
}

func TestHalfARecordIsTheEnd(t *testing.T) {
	path := place(t)
	k := open(t, path)
	require.NotNil(t, k.Append("/t", []byte("whole")))
	require.NotNil(t, k.Append("/t", []byte("half of it")))
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":    func(content []byte) []byte { return content[:len(content)-1] },
		"zeroed": func(content []byte) []byte { return bytes.Replace(content, []byte("half"), make([]byte, 4), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			left := killed(t, path)
			content, err := os.ReadFile(left + "-read1")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(left+"-read1", spoil(content), 0o600))
			after := open(t, left)
			assert.Equal(t, item{"whole", true}, after.next().Value)
			kept, _ := after.close()
			assert.Equal(t, 1, kept.Messages)
		})
	}
	k.close()
}

func TestWhatCannotBeWrittenStaysKept(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	k.next()
	require.NoError(t, k.LimitPages(t.Context(), 1))
	r := record("b" + strings.Repeat("x", 17<<20)) // more than waits in memory
	r.Ack = k.Append("/t", r.Raw)
	k.Enqueue(t.Context(), r, item{})
	require.Error(t, k.awaitFault())
	k.Enqueue(ended(t), record("c"), item{})
	left, lost, err := k.Close()
	require.ErrorContains(t, err, "the disk is full")
	assert.Equal(t, 2, left.Messages)
	assert.Equal(t, 1, lost.Messages, "what was not kept")
	k = open(t, path)
	assert.Equal(t, item{"a", true}, k.next().Value)
	assert.Equal(t, item{string(r.Raw), true}, k.next().Value)
	k.close()
}

// divert has what Keep writes go to a file that loses it and cannot be synced or, where
// it is open to be read alone, cannot be written either.
func (k *kept) divert(flag int) (back func()) {
	k.t.Helper()
	to, err := os.OpenFile(os.DevNull, flag, 0)
	require.NoError(k.t, err)
	k.t.Cleanup(func() { assert.NoError(k.t, to.Close()) })
	return k.DivertKept(to)
}

func TestWhatAFailedSyncMayHaveLostGoesIntoTheFile(t *testing.T) {
	path := place(t)
	k := open(t, path)
	back := k.divert(os.O_WRONLY)
	a, b := record("a"), record("b")
	a.Ack, b.Ack = k.Append("/t", a.Raw), k.Append("/t", b.Raw)
	k.Enqueue(t.Context(), a, item{text: "a"}) // has a sync fail, after which b would go to the other file
	require.ErrorContains(t, k.awaitFault(), path)
	back()
	assert.Equal(t, "a", k.next().Value.text)
	k.Enqueue(t.Context(), b, item{text: "b"})
	assert.Equal(t, "b", k.next().Value.text)
	require.NoError(t, k.lastFault(), "told that it works again")
	after := open(t, killed(t, path))
	assert.Equal(t, item{"a", true}, after.next().Value)
	assert.Equal(t, item{"b", true}, after.next().Value)
	after.close()

	k.addKept("c") // does without, for the file was emptied
	k.next()
	after = open(t, killed(t, path))
	require.Len(t, after.recovered, 1)
	assert.Equal(t, "c", string(after.recovered[0].Raw))
	after.close()
	k.close()
}

func TestNothingIsKeptBehindHalfARecord(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.addKept("a")
	k.next()
	half, err := os.OpenFile(path+"-read1", os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = half.WriteString("half of it")
	require.NoError(t, err)
	require.NoError(t, half.Close())
	back := k.divert(os.O_RDONLY)
	require.Nil(t, k.Append("/t", []byte("half of it")))
	back()

	require.NotNil(t, k.Append("/t", []byte("b")))
	after := open(t, killed(t, path))
	assert.Equal(t, item{"a", true}, after.next().Value)
	assert.Equal(t, item{"b", true}, after.next().Value)
	after.close()

	require.NotZero(t, keptFiles(t, path)[0])
	k.addKept("c") // goes into the file, and takes a along
	k.next()
	assert.Zero(t, keptFiles(t, path)[0], "nothing in it is needed")
	k.close()
}

func TestNothingIsKeptWhileNoFileCanBeTrusted(t *testing.T) {
	path := place(t)
	k := open(t, path)
	var kept []func()
	for _, text := range []string{"a", "b"} { // one in each
		kept = append(kept, k.Append("/t", []byte(text)))
		back := k.divert(os.O_RDONLY)
		require.Nil(t, k.Append("/t", []byte("half of it")))
		back()
	}
	require.Nil(t, k.Append("/t", []byte("c")))
	for _, release := range kept {
		require.NotNil(t, release)
		release()
	}
	k.add("c")
	k.next()
	assert.Equal(t, [2]int64{}, keptFiles(t, path))
	require.NotNil(t, k.Append("/t", []byte("d")))
	k.close()
}

func TestKeptFramesAreOnlyReadWithTheLock(t *testing.T) {
	path := place(t)
	k := open(t, path)
	require.NotNil(t, k.Append("/t", []byte("a")))
	_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
	require.Error(t, err)
	assert.NotZero(t, keptFiles(t, path)[0])
	k.close()
	k = open(t, path)
	assert.Equal(t, item{"a", true}, k.next().Value)
	k.close()
}
