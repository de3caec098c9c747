package files

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func onePart(content string) func() ([]byte, bool) {
	return func() ([]byte, bool) { return []byte(content), false }
}

func newLetters(t *testing.T) *deadLetters {
	t.Helper()
	d := &deadLetters{folder: filepath.Join(t.TempDir(), "aside"), log: service.MockResources().Logger()}
	t.Cleanup(func() { require.NoError(t, d.close()) })
	return d
}

func TestDeadLetterIsTriedAgainUntilItCanBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newLetters(t)
		require.NoError(t, os.WriteFile(d.folder, nil, 0o600)) // no folder can have this name now
		time.AfterFunc(time.Minute, func() { _ = os.Remove(d.folder) })
		require.NoError(t, d.add(t.Context(), letter{}, onePart("x")))
		content, err := os.ReadFile(filepath.Join(d.folder, deadLettersName))
		require.NoError(t, err)
		assert.Contains(t, string(content), `"content":"x"}`)
	})
}

func TestDeadLetterThatCannotBeWrittenIsAnErrorAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newLetters(t)
		require.NoError(t, os.WriteFile(d.folder, nil, 0o600))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, d.add(ctx, letter{}, onePart("x")), "writing a dead letter: mkdir")
	})
}

func TestRecordIsSetAsideOnce(t *testing.T) {
	in := newTestInput(t, settings{})
	d := &delivery{record: record{raw: []byte("x")}, from: &source{}, input: in}
	for range 2 { // the pipeline has made two messages of it
		require.NoError(t, d.setAsideFor(t.Context(), "refused"))
	}
	assert.Equal(t, 1, in.counts.setAside)
}

func TestDeadLettersGoToANewFileOnceTheirFileIsMoved(t *testing.T) {
	d := newLetters(t)
	path := filepath.Join(d.folder, deadLettersName)
	for _, content := range []string{"1", "2"} {
		require.NoError(t, d.add(t.Context(), letter{}, onePart(content)))
		require.NoError(t, os.Rename(path, path+content))
	}
	require.NoError(t, os.WriteFile(path, nil, 0o600)) // another file has the name
	require.NoError(t, d.add(t.Context(), letter{}, onePart("3")))
	other, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, other.Size())
	for _, content := range []string{"1", "2"} {
		moved, err := os.ReadFile(path + content)
		require.NoError(t, err)
		assert.Contains(t, string(moved), `"content":"`+content+`"}`)
	}
}

func TestOnlyTheFileThatWasReadIsDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("1"), 0o600))
	s, err := openSource(path, longest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", []byte("2"), 0o600))
	require.NoError(t, os.Chtimes(path+".new", time.Time{}, s.info.ModTime()))
	require.NoError(t, os.Rename(path+".new", path))
	require.ErrorIs(t, s.remove(), errReplaced)
	assert.FileExists(t, path)
}

func newTestInput(t *testing.T, s settings) *input {
	t.Helper()
	res := service.MockResources()
	return &input{
		settings: s, letters: newLetters(t), log: res.Logger(), known: fileSet{}, unreadable: map[string]bool{},
		aside: res.Metrics().NewCounter("set_aside"), failures: res.Metrics().NewCounter("failed"),
	}
}

func TestFolderThatCannotBeListedIsReportedOnceUntilItCanBe(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "inbox")
	in := newTestInput(t, settings{paths: []string{filepath.Join(folder, "*.txt")}, pollInterval: time.Second})
	for reported := 1; reported <= 2; reported++ {
		for range 2 {
			in.list()
			assert.Equal(t, reported, in.failed)
		}
		require.NoError(t, os.Mkdir(folder, 0o700))
		in.list()
		require.NoError(t, os.Remove(folder))
	}
}

func TestFileIsReadOnceItHasNotChangedBetweenTwoListings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	in := newTestInput(t, settings{paths: []string{path}, pollInterval: time.Second})
	for _, content := range []string{"", "1", "1\n2"} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		in.list()
		assert.Empty(t, in.queue, "somebody is writing to it")
	}
	in.list()
	assert.Equal(t, []string{path}, in.queue)
}

func TestFileThatLooksLikeADeletedOneIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	in := newTestInput(t, settings{paths: []string{path}})
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	info, err := os.Stat(path)
	require.NoError(t, err)
	in.known.add(info)
	in.list()
	assert.Empty(t, in.queue, "it was read")
	in.deleted = append(in.deleted, info)
	in.list()
	assert.Equal(t, []string{path}, in.queue)
}
