package journal_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

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
		require.NotNil(t, k.Keep("/t", []byte(text)))
	}
	after := open(t, killed(t, path))
	for _, text := range []string{"a", "b", "c"} {
		taken := after.next()
		assert.Equal(t, item{text, true}, taken.Value)
		taken.Settle()
	}
	left, _ := after.close()
	assert.Zero(t, left)
	k.close()
}

func TestWhatIsOnDiskOrNotWantedIsKeptNoMore(t *testing.T) {
	path := place(t)
	k := open(t, path)
	release := k.Keep("/t", []byte("repeat"))
	release()
	for _, text := range []string{"b", "c"} {
		r := record(text)
		r.OnDisk = k.Keep("/t", r.Raw)
		k.Add(t.Context(), r, item{text: text})
		k.next()
	}
	after := open(t, killed(t, path))
	assert.Empty(t, after.recovered)
	left, _ := after.close()
	assert.Equal(t, 2, left.Messages)
	k.close()
	assert.Equal(t, [2]int64{-1, -1}, keptFiles(t, path), "nothing is left")
}

func TestWhatIsKeptTakesLittleRoom(t *testing.T) {
	path := place(t)
	k := open(t, path)
	large := strings.Repeat("x", 100<<10)
	most := int64(0)
	for range 200 {
		r := record(large)
		r.OnDisk = k.Keep("/t", r.Raw)
		k.Add(t.Context(), r, item{})
		k.next().Settle()
		sizes := keptFiles(t, path)
		most = max(most, sizes[0]+sizes[1])
	}
	assert.Greater(t, most, int64(1<<19))
	assert.Less(t, most, int64(3<<20))
	k.close()
}

func TestHalfARecordIsTheEnd(t *testing.T) {
	path := place(t)
	k := open(t, path)
	require.NotNil(t, k.Keep("/t", []byte("whole")))
	require.NotNil(t, k.Keep("/t", []byte("half of it")))
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
	r := record("b" + strings.Repeat("x", 1<<20))
	r.OnDisk = k.Keep("/t", r.Raw)
	k.Add(t.Context(), r, item{})
	require.Eventually(t, func() bool { return k.lastFault() != nil }, limit, time.Millisecond)
	k.Add(ended(t), record("c"), item{})
	left, lost, err := k.Close()
	require.ErrorContains(t, err, "the disk is full")
	assert.Equal(t, 2, left.Messages)
	assert.Equal(t, 1, lost.Messages, "what was not kept")
	k = open(t, path)
	assert.Equal(t, item{"a", true}, k.next().Value)
	assert.Equal(t, item{string(r.Raw), true}, k.next().Value)
	k.close()
}

func TestKeptFramesAreOnlyReadWithTheLock(t *testing.T) {
	path := place(t)
	k := open(t, path)
	require.NotNil(t, k.Keep("/t", []byte("a")))
	_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
	require.Error(t, err)
	assert.NotZero(t, keptFiles(t, path)[0])
	k.close()
	k = open(t, path)
	assert.Equal(t, item{"a", true}, k.next().Value)
	k.close()
}
