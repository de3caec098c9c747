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

func TestJournalIsOpenOnce(t *testing.T) {
	path := place(t)
	k := open(t, path)
	k.add("a")
	_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "another process or another input uses it")
	k.close()
	open(t, path).close()
}

func TestDirectoryThatIsNotThereIsNamed(t *testing.T) {
	_, err := journal.Open(t.Context(), (&kept{}).options(filepath.Join(t.TempDir(), "none", "j.db"), 1))
	require.ErrorContains(t, err, "none/j.db")
	require.ErrorContains(t, err, "its directory must be there")
}

func TestFileOfAnotherKindIsLeftAlone(t *testing.T) {
	path := place(t)
	require.NoError(t, os.WriteFile(path, []byte("These are my notes, and no database at all."), 0o600))
	_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
	require.ErrorContains(t, err, "the file is broken: move it away")
}

func TestDatabaseOfAnotherProgramIsLeftAlone(t *testing.T) {
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
		_, err = journal.Open(t.Context(), (&kept{}).options(path, 1))
		require.ErrorContains(t, err, problem)
	}
}

func TestOtherProcessFindsTheJournalLockedWhateverThisOneTries(t *testing.T) {
	if path := os.Getenv("JOURNAL_OF_ANOTHER"); path != "" {
		_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
		require.ErrorContains(t, err, "another process or another input uses it")
		return
	}
	path := place(t)
	k := open(t, path)
	k.add("a")
	_, err := journal.Open(t.Context(), (&kept{}).options(path, 1))
	require.ErrorContains(t, err, "another process or another input uses it")
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	other.Env = append(os.Environ(), "JOURNAL_OF_ANOTHER="+path)
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	k.close()
}
