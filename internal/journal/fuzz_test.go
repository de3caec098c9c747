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

// FuzzStore opens a store with arbitrary content. The journal must return an error or
// frames, and never panic.
func FuzzStore(f *testing.F) {
	seed := filepath.Join(f.TempDir(), "seed.db")
	h := &harness{}
	j, err := journal.Open(f.Context(), h.options(seed, 1<<20))
	require.NoError(f, err)
	for _, text := range []string{"a", "b", "a longer one for the fuzzer to change"} {
		j.Enqueue(f.Context(), record(text), value{})
	}
	_, _, err = j.Close()
	require.NoError(f, err)
	content, err := os.ReadFile(seed)
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
		h := &harness{t: t}
		j, err := journal.Open(t.Context(), h.options(path, 1<<20))
		if err != nil {
			return
		}
		j.Enqueue(canceled(t), record("new"), value{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		for {
			item, err := j.Dequeue(ctx)
			if err != nil {
				break
			}
			item.Ack()
		}
		_, _, _ = j.Close()
	})
}

// FuzzWAL opens a write-ahead log with arbitrary content. The journal must replay the
// intact records and stop at the first truncated one.
func FuzzWAL(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.db")
	h := &harness{}
	j, err := journal.Open(f.Context(), h.options(path, 1<<20))
	require.NoError(f, err)
	for _, text := range []string{"a", "b", "a longer one for the fuzzer to change"} {
		r := record(text)
		r.Ack = j.Append("/t", r.Raw)
		if text == "b" {
			j.Enqueue(f.Context(), r, value{})
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
		h := &harness{t: t}
		j, err := journal.Open(t.Context(), h.options(path, 1<<20))
		require.NoError(t, err)
		for _, r := range h.unacked {
			require.Contains(t, string(content), r.Source+string(r.Raw))
		}
		left, lost, err := j.Close()
		require.NoError(t, err)
		require.Zero(t, lost)
		require.LessOrEqual(t, left.Frames, len(h.unacked))
	})
}
