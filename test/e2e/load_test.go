//go:build unix

package e2e_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // reads the journal's database

	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// randomSeed returns the seed for random numbers.
func randomSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("ZATO_TEST_SEED")
	if text == "" {
		text = "1"
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n
}

// publishEvent publishes the event with a number, about 1 KiB of JSON.
func publishEvent(server *wsxtest.Server, number int) error {
	data := fmt.Sprintf(`{"number":%d,"text":%q}`, number, padding)
	_, err := server.Publish(eventsTopic, data, wsxtest.PublishOptions{})
	return err
}

var padding = strings.Repeat("x", 1000)

// startLoad publishes one event per millisecond, with occasional bursts, until the
// returned function is called.
func startLoad(t *testing.T, server *wsxtest.Server, seed uint64) (stop func()) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	stopping, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		ticks := time.NewTicker(time.Millisecond)
		defer ticks.Stop()
		for number := 1; ; {
			select {
			case <-ticks.C:
			case <-stopping:
				stopped <- nil
				return
			}
			events := 1
			if random.IntN(400) == 0 {
				events = 200 + random.IntN(1800)
			}
			for range events {
				if err := publishEvent(server, number); err != nil {
					stopped <- err
					return
				}
				number++
			}
		}
	}()
	return func() {
		close(stopping)
		require.NoError(t, <-stopped)
	}
}

// awaitNoConnections waits until the server has noticed the end of all connections. Its
// list of delivered messages is complete then.
func awaitNoConnections(t *testing.T, server *wsxtest.Server) {
	t.Helper()
	require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Timeout, time.Millisecond)
}

// queueDepth returns the number of messages that the server has not written yet.
func queueDepth(server *wsxtest.Server) int {
	n := 0
	for _, s := range server.Subscriptions() {
		n += s.Depth
	}
	return n
}

// hasCachedKey reports whether the cache has the key of the subscription.
func (e *eventsConfig) hasCachedKey(t *testing.T) bool {
	t.Helper()
	keys, err := filepath.Glob(filepath.Join(e.dir, "zato_wsx.*"))
	require.NoError(t, err)
	return len(keys) > 0
}

// journalIDs returns the ids of the messages in the journal's database. The process must
// have exited.
func journalIDs(t *testing.T, dir string) set {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+copyJournal(t, dir))
	require.NoError(t, err)
	defer db.Close() //nolint:errcheck // read only
	ids := set{}
	var tables int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema").Scan(&tables))
	if tables == 0 {
		return ids // the process was killed before it created the tables
	}
	rows, err := db.QueryContext(t.Context(), "SELECT ids FROM frame")
	require.NoError(t, err)
	defer rows.Close() //nolint:errcheck // read only
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		var frameIDs []string
		require.NoError(t, json.Unmarshal([]byte(text), &frameIDs))
		ids.add(frameIDs...)
	}
	require.NoError(t, rows.Err())
	return ids
}

var msgID = regexp.MustCompile(`"msg_id": *"([^"]+)"`)

// walIDs returns the ids of the unacknowledged messages that are in the journal's
// write-ahead log but not in its database. The process must have exited.
func walIDs(t *testing.T, dir string) set {
	t.Helper()
	path := copyJournal(t, dir)
	ids := set{}
	j, err := journal.Open(t.Context(), journal.Options[int]{
		Path: path, Sources: []string{eventsTopic}, DedupLimit: 10_000, OnCommit: func(time.Duration) {},
		Decode: func(journal.Record) (int, error) { return 0, nil },
		Recover: func(latest map[string][]string, kept []journal.Record) []journal.Record {
			for _, r := range kept {
				for _, match := range msgID.FindAllSubmatch(r.Raw, -1) {
					ids.add(string(match[1]))
				}
			}
			for _, id := range latest[eventsTopic] { // acknowledged, but not yet recorded in the log
				delete(ids, id)
			}
			return nil
		},
	})
	require.NoError(t, err)
	_, _, err = j.Close()
	require.NoError(t, err)
	return ids
}

// copyJournal copies the files of a journal. Reading the copy leaves the journal
// unchanged for the next process.
func copyJournal(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	for _, suffix := range []string{"", "-wal", "-read1", "-read2"} {
		content, err := os.ReadFile(filepath.Join(dir, "journal"+suffix))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+suffix, content, 0o600))
	}
	return path
}
