package journal_test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
)

func TestSecondOpenOfAJournalFails(t *testing.T) {
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "another process or another input uses it")
	h.close()
	open(t, path).close()
}

func TestOpenNamesADirectoryThatDoesNotExist(t *testing.T) {
	_, err := journal.Open(t.Context(), (&harness{}).options(filepath.Join(t.TempDir(), "none", "j.db"), 1))
	require.ErrorContains(t, err, "none/j.db")
	require.ErrorContains(t, err, "create its directory")
}

func TestOpenNamesALogThatIsNotWritable(t *testing.T) {
	path := newPath(t)
	require.NoError(t, os.Mkdir(path+"-read2", 0o700)) // which cannot be opened for writing
	_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
	require.ErrorContains(t, err, path+"-read2")
	require.ErrorContains(t, err, "give this user read and write access to it")
}

func TestOpenRejectsAFileThatIsNoDatabase(t *testing.T) {
	path := newPath(t)
	require.NoError(t, os.WriteFile(path, []byte("These are my notes, and no database at all."), 0o600))
	_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
	require.ErrorContains(t, err, "the file is corrupt")
	require.ErrorContains(t, err, "move it away")
}

func TestOpenRejectsTheDatabaseOfAnotherProgram(t *testing.T) {
	for problem, statements := range map[string][]string{
		"of another program": {"CREATE TABLE mine (x)"},
		"has the layout 99":  {"PRAGMA application_id = 1514827372", "PRAGMA user_version = 99"},
	} {
		path := filepath.Join(t.TempDir(), "other.db")
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		for _, s := range statements {
			_, err = db.ExecContext(t.Context(), s)
			require.NoError(t, err)
		}
		require.NoError(t, db.Close())
		_, err = journal.Open(t.Context(), (&harness{}).options(path, 1))
		require.ErrorContains(t, err, problem)
	}
}

// A POSIX lock is lost when the process closes any descriptor of the file. So a failed
// Open in this process must not release the lock of the journal that is open.
func TestFailedOpenDoesNotUnlockTheJournalForOtherProcesses(t *testing.T) {
	if path := os.Getenv("JOURNAL_OF_ANOTHER"); path != "" {
		_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
		require.ErrorContains(t, err, "another process or another input uses it")
		return
	}
	path := newPath(t)
	h := open(t, path)
	h.enqueue("a")
	_, err := journal.Open(t.Context(), (&harness{}).options(path, 1))
	require.ErrorContains(t, err, "another process or another input uses it")
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	other.Env = append(os.Environ(), "JOURNAL_OF_ANOTHER="+path)
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	h.close()
}
