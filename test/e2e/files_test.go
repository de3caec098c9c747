package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deadLetter is a line of a file of dead letters.
type deadLetter struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Reason  string `json:"reason"`
	Content string `json:"content"`
	Base64  string `json:"content_base64"`
}

// readDeadLetters returns the dead letters in a folder, with decoded contents.
func readDeadLetters(t *testing.T, folder string) []deadLetter {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*messages.jsonl"))
	require.NoError(t, err)
	var all []deadLetter
	for _, path := range found {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			var l deadLetter
			require.NoError(t, json.Unmarshal([]byte(line), &l))
			if l.Base64 != "" {
				decoded, err := base64.StdEncoding.DecodeString(l.Base64)
				require.NoError(t, err)
				l.Content, l.Base64 = string(decoded), ""
			}
			all = append(all, l)
		}
	}
	return all
}

// failFileToZato runs file-to-zato, which must end with the exit status 1, and returns its output.
func failFileToZato(t *testing.T, env []string) string {
	t.Helper()
	cmd := command(t, time.Minute, env, "run", "examples/file-to-zato.yaml")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	assert.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", out)
	return string(out)
}

func TestFileToZatoPublishesAllButTheBadRecordsAndFails(t *testing.T) {
	long := `{"id":2,"long":"` + strings.Repeat("x", 70_000) + `"}`
	tooLong := `{"id":2,"long":"` + strings.Repeat("x", 2<<20) + `"}`
	for name, c := range map[string]struct {
		file, content string
		published     []string
		aside         []deadLetter // without the file
	}{
		"a long line": {"a.jsonl", `{"id":1}` + "\n" + long + "\n" + `{"id":3}`, []string{`{"id":1}`, long, `{"id":3}`}, nil},
		"a line that is too long": {
			"a.jsonl", `{"id":1}` + "\n" + tooLong + "\n" + `{"id":3}`,
			[]string{`{"id":1}`, `{"id":3}`},
			[]deadLetter{{
				Line: 2, Content: tooLong + "\n", Reason: "the record is longer than max_record_size (1048576 bytes)",
			}},
		},
		"a line in Latin-1": {
			"a.jsonl", "{\"id\":1}\r\nM\xfcller\r\n{\"id\":3}\r\n",
			[]string{`{"id":1}`, `{"id":3}`},
			[]deadLetter{{Line: 2, Content: "M\xfcller\r\n", Reason: `publishing to topic "/in": ` +
				"data: is not valid UTF-8: encode binary content, for example as base64"}},
		},
		"a row with a field too many, and a byte order mark": {
			"a.csv", "\ufeffid,name\r\n1,Anna\r\n2,Bob,x\r\n3,Eve\r\n",
			[]string{`{"id":"1","name":"Anna"}`, `{"id":"3","name":"Eve"}`},
			[]deadLetter{{
				Line: 3, Content: "2,Bob,x\r\n",
				Reason: "the row has 3 fields, and the first row has 2",
			}},
		},
		"a document that is wrong": {
			"a.json.gz", gzipped(t, "{\"id\": 10000000000000000001}\n{\"id\":}\n{\"id\":3.0}"),
			[]string{`{"id":10000000000000000001}`, `{"id":3.0}`},
			[]deadLetter{{
				Line: 2, Content: `{"id":}`,
				Reason: "the JSON is not valid: invalid character '}' looking for beginning of value",
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, dir, aside := startZato(t), t.TempDir(), t.TempDir()
			path := filepath.Join(dir, c.file)
			writeFile(t, path, c.content)
			writeFile(t, filepath.Join(dir, "b.jsonl"), `{"id":5}`)
			env := zatoEnv(server, "TOPIC=/in", "FILES="+dir+"/*", "ASIDE="+aside, "PARALLEL=1")
			if c.aside == nil {
				job := startBridge(t, "file-to-zato.yaml", env...)
				require.NoError(t, job.awaitExit())
			} else {
				out := failFileToZato(t, env)
				assert.Contains(t, out, "1 of "+strconv.Itoa(len(c.published)+2)+" records were set aside: see "+aside)
				c.aside[0].File = path
				assert.Equal(t, c.aside, readDeadLetters(t, aside))
			}
			assert.Equal(t, append(c.published, `{"id":5}`), awaitPublished(t, server, "/in", len(c.published)+1))
		})
	}
}

func TestFileToZatoFailsIfAFileCannotBeReadToItsEnd(t *testing.T) {
	server, dir := startZato(t), t.TempDir()
	whole := gzipped(t, "1\n2\n"+strings.Repeat("some text ", 10_000))
	writeFile(t, filepath.Join(dir, "cut.jsonl.gz"), whole[:len(whole)-10])
	writeFile(t, filepath.Join(dir, "good.jsonl"), "3\n")
	out := failFileToZato(t, zatoEnv(server, "TOPIC=/in", "FILES="+dir+"/*", "ASIDE="+t.TempDir(), "PARALLEL=1"))
	assert.Contains(t, out, "1 files were not read to their end, the first because of this: "+dir+
		"/cut.jsonl.gz, from line 3 on: unexpected EOF")
	assert.Equal(t, []string{"1", "2", "3"}, awaitPublished(t, server, "/in", 3))

	out = failFileToZato(t, zatoEnv(server, "FILES="+dir+"/*.xml", "ASIDE="+t.TempDir()))
	assert.Contains(t, out, dir+"/*.xml: no file has this name or matches this pattern")
}

func TestFileToZatoSetsAsideWhatZatoRefusesForGood(t *testing.T) {
	server, dir, aside := startZato(t), t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "a.csv")
	writeFile(t, path, "id\r\n1\r\n")
	env := zatoEnv(server, "TOPIC=/forbidden", "FILES="+path, "ASIDE="+aside, "DEAD_LETTER_STATUS=400|403")
	failFileToZato(t, env)
	letters := readDeadLetters(t, aside)
	require.Len(t, letters, 1)
	assert.Equal(t, "1\r\n", letters[0].Content, "the row, and not the message")
	assert.Equal(t, 2, letters[0].Line)
	assert.Contains(t, letters[0].Reason, "the server answered 403")
}

func TestFileToZatoFailsIfItIsStopped(t *testing.T) {
	server, path := startZato(t), filepath.Join(t.TempDir(), "a.txt")
	writeFile(t, path, strings.Repeat("a line\n", 200_000))
	job := startBridge(t, "file-to-zato.yaml", zatoEnv(server, "TOPIC=/in", "FILES="+path, "ASIDE="+t.TempDir())...)
	awaitPublished(t, server, "/in", 1)
	job.interrupt()
	assert.Equal(t, 1, job.cmd.ProcessState.ExitCode())
	assert.Contains(t, job.log.String(), "stopped before all records were delivered: run it again")
}

func TestFolderToZatoDeletesNothingThatWasNotPublished(t *testing.T) {
	server, inbox := startZato(t), t.TempDir()
	server.Stop()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+inbox, "ASIDE="+t.TempDir(), "PARALLEL=1", "POLL_INTERVAL=10ms")
	bridge := startBridge(t, "folder-to-zato.yaml", env...)
	moveIn := func(content string) {
		writeFile(t, filepath.Join(inbox, "part"), content)
		require.NoError(t, os.Rename(filepath.Join(inbox, "part"), filepath.Join(inbox, "orders.jsonl")))
	}
	moveIn("day 1\n")
	bridge.awaitOpen(filepath.Join(inbox, "orders.jsonl"))
	moveIn("day 2\n")
	require.NoError(t, server.Start())
	assert.Equal(t, []string{"day 1", "day 2"}, awaitPublished(t, server, "/in", 2))
	awaitNoFile(t, filepath.Join(inbox, "orders.jsonl"))
}

// awaitOpen waits until the bridge has opened a file.
func (b *bridge) awaitOpen(path string) {
	b.t.Helper()
	eventually(b.t, func() bool {
		descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", b.cmd.Process.Pid))
		return err == nil && slices.ContainsFunc(descriptors, func(descriptor string) bool {
			target, err := os.Readlink(descriptor)
			return err == nil && target == path
		})
	}, path+" is not open")
}

func awaitNoFile(t *testing.T, path string) {
	t.Helper()
	eventually(t, func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	}, path+" is still there")
}

func TestFolderToZatoKeepsWhatItSetsAsideByteForByte(t *testing.T) {
	server, inbox, aside := startZato(t), t.TempDir(), t.TempDir()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+inbox, "ASIDE="+aside, "PARALLEL=1", "POLL_INTERVAL=10ms")
	startBridge(t, "folder-to-zato.yaml", env...)
	for _, content := range []string{"not gzip 1", "not gzip 2"} {
		path := filepath.Join(inbox, "orders.jsonl.gz")
		writeFile(t, path+".part", content)
		require.NoError(t, os.Rename(path+".part", path))
		awaitNoFile(t, path)
	}
	var kept []string
	found, err := filepath.Glob(filepath.Join(aside, "*orders.jsonl.gz"))
	require.NoError(t, err)
	for _, path := range found {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		kept = append(kept, string(content))
	}
	assert.ElementsMatch(t, []string{"not gzip 1", "not gzip 2"}, kept)

	path := filepath.Join(inbox, "names.csv")
	writeFile(t, path+".part", "name\nM\xfcller\nAnna\n")
	require.NoError(t, os.Rename(path+".part", path))
	awaitNoFile(t, path)
	assert.Equal(t, []string{`{"name":"Anna"}`}, awaitPublished(t, server, "/in", 1))
	assert.Equal(t, []deadLetter{{File: path, Line: 2, Reason: "the row is not valid UTF-8", Content: "M\xfcller\n"}},
		readDeadLetters(t, aside))
}

func TestZatoToFilesKeepsTextAndWholeLines(t *testing.T) {
	server, outbox := startZato(t), t.TempDir()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+outbox, "COUNT=2", "PERIOD=1h")
	startBridge(t, "zato-to-files.yaml", env...)
	awaitSubscription(t, server)
	contents := []string{"{\"a\":1}\n{\"a\":2}", "true story", "0123", `{"b":1.50,"a":18446744073709551617}`}
	for i := 0; i < len(contents); i += 2 {
		publish(t, server, contents[i])
		publish(t, server, contents[i+1])
		eventually(t, func() bool { _, files := archivedLines(t, outbox); return files == i/2+1 }, "a file of two lines")
	}
	found, err := filepath.Glob(filepath.Join(outbox, "*", "*.jsonl.gz"))
	require.NoError(t, err)
	var all strings.Builder
	for _, path := range found {
		content, whole := gunzipped(t, path)
		require.True(t, whole)
		all.WriteString(content)
	}
	var data []string
	for line := range strings.Lines(all.String()) {
		var m struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		data = append(data, string(m.Data))
	}
	assert.Equal(t, []string{`"{\"a\":1}\n{\"a\":2}"`, `"true story"`, `"0123"`, contents[3]}, data)
}

func TestZatoToFilesStopsWithoutWaitingForItsPeriod(t *testing.T) {
	server, outbox := startZato(t), t.TempDir()
	env := zatoEnv(server, "TOPIC=/in", "FOLDER="+outbox, "SHUTDOWN_TIMEOUT=100ms")
	bridge := startBridge(t, "zato-to-files.yaml", append(env, "PERIOD=1h")...)
	awaitSubscription(t, server)
	publish(t, server, "kept")
	awaitFetched(t, server, 1)
	bridge.stop()
	startBridge(t, "zato-to-files.yaml", append(env, "PERIOD=10ms")...)
	eventually(t, func() bool { _, files := archivedLines(t, outbox); return files == 1 }, "the message is in no file")
}
