package journal_test

import (
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
		j.Add(f.Context(), record(text), item{})
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
		j.LatestIDs("/t")
		j.Add(ended(t), record("new"), item{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		for {
			taken, err := j.Next(ctx)
			if err != nil {
				break
			}
			taken.Settle()
		}
		_, _, _ = j.Close()
	})
}

// ended returns a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
