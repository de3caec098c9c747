package files

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgressIsALineEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.txt")
		require.NoError(t, os.WriteFile(path, []byte("1\n2\n"), 0o600))
		s, err := openSource(path, longest)
		require.NoError(t, err)
		_, err = s.reader.next()
		require.NoError(t, err)
		screen, err := os.Create(filepath.Join(t.TempDir(), "screen"))
		require.NoError(t, err)
		p := newProgress(screen)
		assert.Nil(t, p.to, "a file is no terminal")
		p.to = screen
		for range 10 {
			<-time.After(progressInterval / 5) // virtual time
			p.show(s, counts{read: 10, setAside: 1})
		}
		shown, err := os.ReadFile(screen.Name())
		require.NoError(t, err)
		assert.Equal(t, path+": line 2, 4 of 4 bytes; 10 records, 2 a second, 1 set aside\n"+
			path+": line 2, 4 of 4 bytes; 10 records, 1 a second, 1 set aside\n", string(shown))
		require.NoError(t, s.file.Close())
		require.NoError(t, screen.Close())
	})
}
