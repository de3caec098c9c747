package files_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/files"
)

// timeout limits how long a test waits for an event.
const timeout = 10 * time.Second

// run reads files as an input with some fields does, and returns what the report says. The
// folder of dead letters is "aside" beside the files. The input ends if it does not poll, or
// when handle stops it.
func run(t *testing.T, dir, fields string, handle func(content string, stop func()) error) error {
	t.Helper()
	report := &files.Report{}
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, files.Register(env, report))
	builder := env.NewStreamBuilder()
	require.NoError(t, builder.SetLoggerYAML("level: OFF"))
	input := fmt.Sprintf("file_records: { dead_letters: %q, %s }", filepath.Join(dir, "aside"), fields)
	require.NoError(t, builder.AddInputYAML(input))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	stopped := make(chan struct{}, 1)
	stop := func() {
		select {
		case stopped <- struct{}{}:
		default:
		}
	}
	require.NoError(t, builder.AddConsumerFunc(func(_ context.Context, m *service.Message) error {
		content, err := m.AsBytes()
		require.NoError(t, err)
		return handle(string(content), stop)
	}))
	stream, err := builder.Build()
	require.NoError(t, err)
	go func() {
		select {
		case <-stopped:
			_ = stream.Stop(ctx) // Run returns the error
		case <-ctx.Done():
		}
	}()
	require.NoError(t, stream.Run(ctx))
	return report.Err()
}

// collect returns a handler that appends to a list.
func collect(to *[]string) func(string, func()) error {
	return func(content string, _ func()) error {
		*to = append(*to, content)
		return nil
	}
}

func write(t *testing.T, content string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(content)
}

// letter is a dead letter.
type letter struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Offset  int    `json:"offset"`
	Reason  string `json:"reason"`
	Content string `json:"content"`
	Base64  []byte `json:"content_base64"`
}

func letters(t *testing.T, path ...string) []letter {
	t.Helper()
	var all []letter
	for line := range strings.Lines(read(t, path...)) {
		var l letter
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		all = append(all, l)
	}
	return all
}

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(content))
	require.NoError(t, errors.Join(err, w.Close()))
	return out.String()
}

func TestRecordsThatCannotBeReadAreSetAsideByteForByte(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x\xff", 200_000)
	path := write(t, "id,name\r\n1,a\r\n2,b,c\r\n3,\xff\r\n4,"+long+"\r\n5,e", dir, "a.csv")
	var got []string
	err := run(t, dir, fmt.Sprintf("paths: [ %q ], max_record_size: 1000", path), collect(&got))
	require.EqualError(t, err, "3 of 5 records were set aside: see "+filepath.Join(dir, "aside", "messages.jsonl"))
	assert.Equal(t, []string{`{"id":"1","name":"a"}`, `{"id":"5","name":"e"}`}, got)
	assert.Equal(t, []letter{
		{File: path, Line: 3, Offset: 14, Reason: "the row has 3 fields, and the first row has 2", Content: "2,b,c\r\n"},
		{File: path, Line: 4, Offset: 21, Reason: "the row is not valid UTF-8", Base64: []byte("3,\xff\r\n")},
		{
			File: path, Line: 5, Offset: 26, Reason: "the record is longer than max_record_size (1000 bytes)",
			Base64: []byte("4," + long + "\r\n"),
		},
	}, letters(t, dir, "aside", "messages.jsonl"))
}

func TestFilesThatCannotBeReadFailTheRunAndTheOthersAreRead(t *testing.T) {
	whole := gzipped(t, "1\n2\n"+strings.Repeat("long enough", 10_000))
	for name, c := range map[string]struct{ content, reason string }{
		"cut.txt.gz":  {whole[:len(whole)-20], "from line 3 on: unexpected EOF"},
		"bad.txt.gz":  {whole[:len(whole)-5] + "xxxxx", "from line 3 on: gzip: invalid checksum"},
		"no.gz":       {"1\n2\n", "from line 1 on: decompressing: unexpected EOF"},
		"no.txt.bz2":  {"1\n2\n", "from line 1 on: bzip2 data invalid: bad magic value"},
		"empty.gz":    {"", "from line 1 on: decompressing: unexpected EOF"},
		"twice.gz.gz": {gzipped(t, whole), "from line 1 on: it is an archive of a kind that cannot be read: unpack it (.gz)"},
		"archive.zip": {"PK", "from line 1 on: it is an archive of a kind that cannot be read: unpack it (.zip)"},
		"twice.csv":   {"a,a\n1,2\n", `the name "a" appears twice`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, c.content, dir, name)
			write(t, "last", dir, "z.txt")
			var got []string
			err := run(t, dir, fmt.Sprintf("paths: [ %q ]", dir+"/*.*"), collect(&got))
			require.ErrorContains(t, err, "1 files were not read to their end, the first because of this: "+path)
			require.ErrorContains(t, err, c.reason)
			assert.Equal(t, "last", got[len(got)-1])
		})
	}
}

func TestNamesThatMatchNothingFailTheRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty", "folder.txt"), 0o700))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link.txt")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "aside"), 0o700))
	write(t, "", dir, "aside", "messages.jsonl")
	for pattern, reason := range map[string]string{
		"empty/*.txt":    "no file has this name or matches this pattern",
		"none/*.txt":     "no such file or directory",
		"missing.txt":    "no such file or directory",
		"link.txt":       "no such file or directory",
		"empty":          "it is a folder: name its files, such as FOLDER/*.csv",
		"asid[e]/*":      "only dead letters match",
		"empty/**/*.txt": "no file has this name or matches this pattern",
	} {
		path := filepath.Join(dir, pattern)
		err := run(t, dir, fmt.Sprintf("paths: [ %q ]", path), collect(new([]string)))
		require.ErrorContains(t, err, path, pattern)
		require.ErrorContains(t, err, reason, pattern)
	}
}

func TestFileIsReadOnceHoweverManyNamesItHas(t *testing.T) {
	dir := t.TempDir()
	write(t, "1", dir, "a.txt")
	require.NoError(t, os.Symlink("a.txt", filepath.Join(dir, "latest.txt")))
	require.NoError(t, os.Link(filepath.Join(dir, "a.txt"), filepath.Join(dir, "same.txt")))
	write(t, "2", dir, "b[1].txt")
	var got []string
	fields := fmt.Sprintf("paths: [ %q, %q, %q ]", dir+"/*.txt", dir+"/a.txt", dir+"/b[1].txt")
	require.NoError(t, run(t, dir, fields, collect(&got)))
	assert.Equal(t, []string{"1", "2"}, got)
	assert.NoDirExists(t, filepath.Join(dir, "aside"), "nothing was set aside")
}

func TestOnlyTheLinkOfALinkedFileIsDeleted(t *testing.T) {
	dir := t.TempDir()
	path, link := write(t, "1", dir, "a.txt"), filepath.Join(dir, "link.txt")
	require.NoError(t, os.Symlink("a.txt", link))
	require.NoError(t, run(t, dir, fmt.Sprintf("paths: [ %q ], delete_on_finish: true", link), collect(new([]string))))
	assert.FileExists(t, path)
	_, err := os.Lstat(link)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRejectedRecordsAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := write(t, "1\n2\n", dir, "a.txt")
	var got []string
	refused := 0
	fields := fmt.Sprintf("paths: [ %q ], delete_on_finish: true", path)
	require.NoError(t, run(t, dir, fields, func(content string, _ func()) error {
		if content == "1" && refused < 2 {
			assert.FileExists(t, path)
			refused++
			return errors.New("not now")
		}
		got = append(got, content)
		return nil
	}))
	assert.ElementsMatch(t, []string{"1", "2"}, got)
	assert.NoFileExists(t, path)
}

func TestStoppedRunIsReported(t *testing.T) {
	dir := t.TempDir()
	path := write(t, strings.Repeat("a\n", 100_000), dir, "a.txt")
	err := run(t, dir, fmt.Sprintf("paths: [ %q ], delete_on_finish: true", path), func(_ string, stop func()) error {
		stop()
		return nil
	})
	require.EqualError(t, err, "stopped before all records were delivered: run it again")
	assert.FileExists(t, path)
}

func TestUnusableFolderForDeadLettersEndsTheRun(t *testing.T) {
	dir := t.TempDir()
	write(t, "", dir, "aside")
	path := write(t, "1", dir, "a.txt")
	err := run(t, dir, fmt.Sprintf("paths: [ %q ]", path), collect(new([]string)))
	require.ErrorContains(t, err, "field dead_letters: mkdir")
}

// watching are the fields of an input that watches the folder "inbox".
func watching(t *testing.T, dir string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "inbox"), 0o700))
	return fmt.Sprintf("paths: [ %q ], delete_on_finish: true, poll_interval: 1ms", dir+"/inbox/*.*")
}

func TestFileThatReplacesOneBeingReadIsReadToo(t *testing.T) {
	dir := t.TempDir()
	fields := watching(t, dir)
	path := write(t, "day 1", dir, "inbox", "orders.txt")
	var got []string
	require.NoError(t, run(t, dir, fields, func(content string, stop func()) error {
		if got = append(got, content); content == "day 1" {
			require.NoError(t, os.Rename(write(t, "day 2", dir, "next"), path))
			return nil
		}
		stop()
		return nil
	}))
	assert.Equal(t, []string{"day 1", "day 2"}, got)
}

func TestFileThatIsWrittenToIsReadAgainFromTheBeginning(t *testing.T) {
	for name, flag := range map[string]int{"appended to": os.O_APPEND, "overwritten": os.O_TRUNC} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fields := watching(t, dir)
			path := write(t, "a\na\n", dir, "inbox", "a.txt")
			got := map[string]int{}
			require.NoError(t, run(t, dir, fields, func(content string, stop func()) error {
				if len(got) == 0 {
					writeMore(t, path, "a\nnew\n", flag)
				}
				if got[content]++; content == "new" {
					write(t, "end", dir, "inbox", "z.txt")
				}
				if content == "end" {
					awaitDeleted(t, path)
					stop()
				}
				return nil
			}))
			delete(got, "a")
			assert.Equal(t, map[string]int{"new": 1, "end": 1}, got, "no parts of records, and nothing twice that is new")
			assert.NoDirExists(t, filepath.Join(dir, "aside"), "the file is right, only early")
		})
	}
}

func awaitDeleted(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	}, timeout, time.Millisecond, path)
}

// writeMore writes to a file with a flag of os.OpenFile.
func writeMore(t *testing.T, path, content string, flag int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|flag, 0)
	require.NoError(t, err)
	_, err = file.WriteString(content)
	require.NoError(t, errors.Join(err, file.Close()))
}

func TestFileThatGrowsFailsTheRun(t *testing.T) {
	dir := t.TempDir()
	path := write(t, strings.Repeat("a\n", 50_000), dir, "a.txt")
	grown := false
	err := run(t, dir, fmt.Sprintf("paths: [ %q ]", path), func(string, func()) error {
		if !grown {
			writeMore(t, path, "not wh", os.O_APPEND)
		}
		grown = true
		return nil
	})
	require.ErrorContains(t, err, "the file was changed while it was read")
	assert.NoDirExists(t, filepath.Join(dir, "aside"), "the next run reads it again")
}

func TestWhatIsSetAsideNeverReplacesAnything(t *testing.T) {
	dir := t.TempDir()
	fields := fmt.Sprintf("paths: [ %q, %q ], delete_on_finish: true", dir+"/a.csv", dir+"/b.gz")
	for n := range 3 {
		write(t, fmt.Sprintf("id\n%d,x\n", n), dir, "a.csv")
		write(t, fmt.Sprintf("not gzip %d", n), dir, "b.gz")
		require.Error(t, run(t, dir, fields, collect(new([]string))))
		assert.NoFileExists(t, filepath.Join(dir, "b.gz"))
	}
	var records, archives []string
	for _, path := range glob(t, dir, "aside", "*messages.jsonl") {
		records = append(records, letters(t, path)[0].Content)
	}
	for _, path := range glob(t, dir, "aside", "*b.gz") {
		archives = append(archives, read(t, path))
	}
	assert.ElementsMatch(t, []string{"0,x\n", "1,x\n", "2,x\n"}, records)
	assert.ElementsMatch(t, []string{"not gzip 0", "not gzip 1", "not gzip 2"}, archives)
}

func glob(t *testing.T, pattern ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	require.NoError(t, err)
	return found
}

func TestOutputRefusesWhatIsNoRecord(t *testing.T) {
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, files.Register(env, &files.Report{}))
	builder := env.NewStreamBuilder()
	require.NoError(t, builder.SetYAML(`
input: { generate: { count: 1, interval: "", mapping: 'root = "x"' } }
output: { fallback: [ { file_dead_letters: {} }, { drop: {}, processors: [ { mapping: 'root = @fallback_error' } ] } ] }
logger: { level: OFF }`))
	stream, err := builder.Build()
	require.NoError(t, err)
	require.NoError(t, stream.Run(t.Context()))
}
