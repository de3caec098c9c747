package journal_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
)

// FuzzFile opens whatever a disk may have made of a journal: an error, or frames,
// and never a crash.
func FuzzFile(f *testing.F) {
	whole := filepath.Join(f.TempDir(), "seed.db")
	k := &kept{}
	j, err := journal.Open(f.Context(), k.options(whole, 1<<20))
	require.NoError(f, err)
	for _, text := range []string{"a", "b", "a longer one that is there to be changed"} {
		j.Enqueue(f.Context(), record(text), item{})
	}
	_, _, err = j.Close()
	require.NoError(f, err)
	content, err := os.ReadFile(whole)
	require.NoError(f, err)
	f.Add(content)
	f.Add(content[:4096])
	f.Add([]byte{})
	f.Add([]byte("SQLite format 3\x00"))

	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		path := filepath.Join(t.TempDir(), "fuzzed.db")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		k := &kept{t: t}
		j, err := journal.Open(t.Context(), k.options(path, 1<<20))
		if err != nil {
			return
		}
		j.Enqueue(ended(t), record("new"), item{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		for {
			taken, err := j.Dequeue(ctx)
			if err != nil {
				break
			}
			taken.Ack()
		}
		_, _, _ = j.Close()
	})
}

// FuzzKept opens whatever a disk may have made of what Keep wrote: what is whole comes,
// and what is not is the end.
func FuzzKept(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.db")
	k := &kept{}
	j, err := journal.Open(f.Context(), k.options(path, 1<<20))
	require.NoError(f, err)
	for _, text := range []string{"a", "b", "a longer one that is there to be changed"} {
		r := record(text)
		r.Ack = j.Append("/t", r.Raw)
		if text == "b" {
			j.Enqueue(f.Context(), r, item{})
			_, err := j.Dequeue(f.Context())
			require.NoError(f, err)
		}
	}
	content, err := os.ReadFile(path + "-read1")
	require.NoError(f, err)
	_, _, err = j.Close()
	require.NoError(f, err)
	f.Add(content)
	f.Add(content[:len(content)-1])
	f.Add(bytes.Repeat([]byte{0xff}, 100))

	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "fuzzed.db")
		require.NoError(t, os.WriteFile(path+"-read1", content, 0o600))
		k := &kept{t: t}
		j, err := journal.Open(t.Context(), k.options(path, 1<<20))
		require.NoError(t, err)
		for _, r := range k.recovered {
			require.Contains(t, string(content), r.Source+string(r.Raw))
		}
		left, lost, err := j.Close()
		require.NoError(t, err)
		require.Zero(t, lost)
		require.LessOrEqual(t, left.Frames, len(k.recovered))
	})
}

// ended returns a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
