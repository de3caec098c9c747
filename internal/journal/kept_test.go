package journal_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
)

const limit = 20 * time.Second

// item is what the tests put in.
type item struct {
	text     string
	leftover bool
}

// told keeps what a journal reported.
type told struct {
	mu     sync.Mutex
	faults []error
	full   []bool
}

func (r *told) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, err)
}

func (r *told) fullness(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = append(r.full, full)
}

// lastFault returns what was told last, nil where that was that it works again.
func (r *told) lastFault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults[len(r.faults)-1]
}

func (r *told) allFull() []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]bool(nil), r.full...)
}

// kept is a journal under test.
type kept struct {
	*journal.Journal[item]
	told

	t         *testing.T
	latest    map[string][]string // what Recover was given, as the next
	recovered []journal.Record
}

func (k *kept) options(path string, size int64) journal.Options[item] {
	return journal.Options[item]{
		Path: path, MaxSize: size, Sources: []string{"/t"}, DedupLimit: 10, OnError: k.fault,
		OnCommit: func(time.Duration) {}, OnFull: func() { k.fullness(true) }, OnResumed: func() { k.fullness(false) },
		Recover: func(latest map[string][]string, kept []journal.Record) (wanted []journal.Record) {
			k.latest, k.recovered = latest, kept
			for _, r := range kept {
				if len(r.Raw) > 0 && !slices.Contains(latest[r.Source], string(r.Raw[:1])) {
					wanted = append(wanted, record(string(r.Raw)))
				}
			}
			return wanted
		},
		Decode: func(r journal.Record) (item, error) {
			if bytes.HasPrefix(r.Raw, []byte("undecodable")) {
				return item{}, errors.New("undecodable")
			}
			return item{string(r.Raw), r.Recovered}, nil
		},
	}
}

func open(t *testing.T, path string) *kept {
	t.Helper()
	return openSized(t, path, 1<<30)
}

func openSized(t *testing.T, path string, size int64) *kept {
	t.Helper()
	k := &kept{t: t}
	j, err := journal.Open(t.Context(), k.options(path, size))
	require.NoError(t, err)
	k.Journal = j
	return k
}

func place(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "a journal ?%41#.db")
}

// awaitFault waits until a fault was told, and returns it. It may have passed since.
func (k *kept) awaitFault() (fault error) {
	k.t.Helper()
	require.Eventually(k.t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		fault = errors.Join(k.faults...)
		return fault != nil
	}, limit, time.Millisecond)
	return fault
}

func (k *kept) add(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		k.Enqueue(k.t.Context(), record(text), item{text: text})
	}
}

func record(text string) journal.Record {
	return journal.Record{Source: "/t", IDs: []string{text[:1]}, Messages: 1, Raw: []byte(text)}
}

func (k *kept) next() journal.Item[item] {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), limit)
	defer cancel()
	taken, err := k.Dequeue(ctx)
	require.NoError(k.t, err)
	return taken
}

func (k *kept) close() (kept, lost journal.Backlog) {
	k.t.Helper()
	kept, lost, err := k.Close()
	require.NoError(k.t, err)
	return kept, lost
}
