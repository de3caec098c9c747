package input_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// journalField returns the field of a journal in a directory.
func journalField(dir string) string {
	return fmt.Sprintf("journal: { path: %q }", filepath.Join(dir, "journal"))
}

// withCacheAndJournal returns a receiver with a cache and a journal in a directory.
func withCacheAndJournal(server *wsxtest.Server, dir string, extra ...string) string {
	return withCache(server, patched, dir, append([]string{journalField(dir)}, extra...)...)
}

// next returns the next n messages, or more if the last batch has more.
func next(s *streamtest.Stream, n int) service.MessageBatch {
	var out service.MessageBatch
	for len(out) < n {
		out = append(out, s.Next()...)
	}
	return out
}

// texts returns the contents of messages, and the contents of those that are marked as replayed.
func texts(t *testing.T, messages service.MessageBatch) (all, replayed []string) {
	t.Helper()
	all = streamtest.Texts(t, messages)
	for i, text := range all {
		if flag, _ := messages[i].MetaGetMut("zato_replayed"); flag == true {
			replayed = append(replayed, text)
		}
	}
	return all, replayed
}

// publishAsFrames publishes texts, each in a frame of its own.
func publishAsFrames(t *testing.T, server *wsxtest.Server, texts ...string) {
	t.Helper()
	for _, text := range texts {
		before := len(server.Delivered())
		publish(t, server, text)
		require.Eventually(t, func() bool { return len(server.Delivered()) > before }, streamtest.Timeout, time.Millisecond)
	}
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestUnacknowledgedMessagesAreDeliveredFirstAtTheNextStart(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publishAsFrames(t, server, numbered(0, 20)...)
	assert.Equal(t, []string{"0", "1"}, s.NextTexts(2))
	s.Stop(3 * time.Second)
	assert.Contains(t, s.Log(), "18 messages stay in the journal")
	assert.NotContains(t, s.Log(), "level=ERROR")

	publish(t, server, "new")
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	all, replayed := texts(t, next(s, 19))
	assert.Equal(t, append(numbered(2, 20), "new"), all)
	assert.Equal(t, numbered(2, 20), replayed)
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "stay in the journal")
}

func TestRecoveredMessagesNeedNoConnection(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publishAsFrames(t, server, numbered(0, 5)...)
	s.Stop(3 * time.Second)

	server.Stop()
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	assert.Equal(t, numbered(0, 5), s.NextTexts(5))
	require.NoError(t, server.Restart())
	subscribed(t, server)
	publish(t, server, "new")
	assert.Equal(t, []string{"new"}, s.NextTexts(1))
}

func TestDuplicatesOfRecoveredMessagesAreDropped(t *testing.T) {
	server, dir := startServer(t, wsxtest.WithFrameRecorder(1000)), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publish(t, server, "x")
	require.Eventually(t, func() bool { return len(server.Delivered()) == 1 }, streamtest.Timeout, time.Millisecond)
	var frame []byte
	for _, f := range server.Frames() {
		if !f.FromClient && strings.Contains(string(f.Payload), "zwsx.psrq") {
			frame = f.Payload
		}
	}
	s.Stop(3 * time.Second)

	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	server.SendRaw(frame)
	s.AwaitMetricValue(`zato_wsx_duplicates_dropped{label="",path="root.input",topic="/my/topic.gd"}`, 1)
	publish(t, server, "y")
	assert.Equal(t, []string{"x", "y"}, s.NextTexts(2))
}

// writeUnflushed leaves frames as a process does that is killed before it has moved them into the journal.
func writeUnflushed(t *testing.T, dir, topic string, frames ...[]byte) {
	t.Helper()
	withJournal(t, dir, func(j *journal.Journal[int]) {
		for _, frame := range frames {
			require.NotNil(t, j.Append(topic, frame))
		}
	})
}

// withJournal opens a journal that no input uses, calls do, and closes it.
func withJournal(t *testing.T, dir string, do func(*journal.Journal[int])) {
	t.Helper()
	j, err := journal.Open(t.Context(), journal.Options[int]{
		Path: filepath.Join(dir, "journal"), MaxSize: 1 << 30, DedupLimit: 10_000, OnCommit: func(time.Duration) {},
		Recover: func(map[string][]string, []journal.Record) []journal.Record { return nil },
	})
	require.NoError(t, err)
	do(j)
	_, _, err = j.Close()
	require.NoError(t, err)
}

func TestFramesThatAKilledProcessReadLastAreDeliveredFirst(t *testing.T) {
	server, dir := startServer(t, wsxtest.WithFrameRecorder(1000)), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publishAsFrames(t, server, "x")
	assert.Equal(t, []string{"x"}, s.NextTexts(1))
	s.Stop(streamtest.Timeout)
	var known []byte
	for _, f := range server.Frames() {
		if !f.FromClient && strings.Contains(string(f.Payload), "zwsx.psrq") {
			known = f.Payload
		}
	}
	withID := func(id string) []byte { return bytes.ReplaceAll(known, []byte(idOf(t, known)), []byte(id)) }

	writeUnflushed(t, dir, topic, known, withID("1"), []byte("{broken"), withID("2"), withID("1"))
	server.Stop()
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	messages := next(s, 2)
	all, replayed := texts(t, messages)
	assert.Equal(t, []string{"x", "x"}, all)
	assert.Equal(t, all, replayed)
	for i, id := range []string{"1", "2"} {
		is, _ := messages[i].MetaGetMut("zato_msg_id")
		assert.Equal(t, id, is)
	}
	require.NoError(t, server.Restart())
	subscribed(t, server)
	server.SendRaw(withID("2"))
	publish(t, server, "new")
	assert.Equal(t, []string{"new"}, s.NextTexts(1), "a duplicate of a recovered message is dropped")
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "level=ERROR")

	writeUnflushed(t, dir, "/no/longer/configured", withID("3"))
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	assert.Equal(t, []string{"x"}, s.NextTexts(1))
}

func TestFramesMovedIntoTheJournalDuringAKillAreDeliveredOnce(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	const size = 500
	frames := fullFrames(25, size) // more messages than known ids; the last frame was not moved
	withJournal(t, dir, func(j *journal.Journal[int]) {
		for i, frame := range frames {
			require.NotNil(t, j.Append(topic, frame))
			if i == len(frames)-1 {
				break
			}
			parsed, err := wsx.ParseFrame(frame)
			require.NoError(t, err)
			r := journal.Record{Source: topic, Messages: size, Raw: frame}
			for i := range parsed.Messages {
				r.IDs = append(r.IDs, parsed.Messages[i].MsgID)
			}
			j.Enqueue(t.Context(), r, 0)
		}
	})
	server.Stop()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	for i := range frames {
		batch := s.Next()
		require.Len(t, batch, size)
		id, _ := batch[0].MetaGetMut("zato_msg_id")
		require.Equal(t, fmt.Sprintf("zpsm%024x", i*size), id)
	}
	require.NoError(t, server.Restart())
	subscribed(t, server)
	server.SendRaw(frames[len(frames)-1])
	publish(t, server, "new")
	assert.Equal(t, []string{"new"}, s.NextTexts(1), "a duplicate of a recovered message is dropped")
}

// idOf returns the id of the only message of a frame.
func idOf(t *testing.T, frame []byte) string {
	t.Helper()
	f, err := wsx.ParseFrame(frame)
	require.NoError(t, err)
	require.Len(t, f.Messages, 1)
	return f.Messages[0].MsgID
}

func TestDuplicatesInARecoveredFrameStayDropped(t *testing.T) {
	server := startServer(t, wsxtest.WithDuplicates(true), wsxtest.WithDeliveryInterval(200*time.Millisecond))
	dir := t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publish(t, server, "a", "b", "c", "d")
	require.Eventually(t, func() bool { return len(server.Delivered()) > 5 }, streamtest.Timeout, time.Millisecond)
	s.Stop(3 * time.Second)

	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	assert.ElementsMatch(t, []string{"a", "b", "c", "d"}, s.NextTexts(4))
	publish(t, server, "e")
	assert.Equal(t, []string{"e"}, s.NextTexts(1))
}

func TestConnectionIsReadIntoTheJournalWhileThePipelineIsBlocked(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	const messages = 15_000 // of 1 KiB: more than the journal keeps in memory and the sockets buffer
	var expected []string
	for i := range messages {
		expected = append(expected, fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)))
	}
	publish(t, server, expected...)
	require.Eventually(t, func() bool { return len(server.Delivered()) == messages }, streamtest.Timeout, time.Millisecond)
	assert.Equal(t, expected, s.NextTexts(messages))
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "stay in the journal")
}

func TestFullJournalPausesReadingWithAWarningAndLosesNothing(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	yaml := strings.Replace(withCacheAndJournal(server, dir), "journal: {", "journal: { max_size: 100000,", 1)
	s := streamtest.Start(t, yaml)
	subscribed(t, server)
	const messages = 12_000
	var expected []string
	for i := range messages {
		expected = append(expected, fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)))
	}
	publish(t, server, expected...)
	s.AwaitLog("The journal is full: it holds 100000 bytes, the limit of journal.max_size")
	assert.Equal(t, expected, s.NextTexts(messages))
	s.AwaitLog("has free space again")
	assert.NotContains(t, s.Log(), "level=ERROR")
}

// stopWithRejected runs a pipeline that rejects a message, which stays in its journal.
func stopWithRejected(t *testing.T, server *wsxtest.Server, dir string) {
	t.Helper()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publish(t, server, "x")
	s.Reject(errors.New("not now"))
	s.Reject(errors.New("not now"))
	s.Stop(3 * time.Second)
}

func TestRejectedMessagesStayInTheJournal(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	stopWithRejected(t, server, dir)
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	assert.Equal(t, []string{"x"}, s.NextTexts(1))
}

func TestJournalErrorNamesTheFrame(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	stopWithRejected(t, server, dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "journal"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE frame SET ids = '["another"]'`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	s.AwaitLog("the record lists none of the messages in its frame")
	assert.Contains(t, s.Log(), "frame 1")
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "panic")
}

func TestFramesOfARejectedBatchStayInTheJournal(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publishAsFrames(t, server, numbered(0, 10)...)
	s.Reject(errors.New("not now"))
	s.Stop(3 * time.Second)
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	s.Reject(errors.New("not now either"))
	s.Stop(3 * time.Second)
	s = streamtest.Start(t, withCacheAndJournal(server, dir))
	assert.Equal(t, numbered(0, 10), s.NextTexts(10))
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "stay in the journal")
}

func TestRejectedMessageIsRetriedWithoutAConnection(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	for _, yaml := range []string{receiver(server, patched), withCacheAndJournal(server, dir)} {
		s := streamtest.Start(t, yaml)
		subscribed(t, server)
		publish(t, server, "x")
		s.Reject(errors.New("not now"))
		server.Stop()
		s.Reject(errors.New("not now either"))
		s.AwaitLog("not connected")
		assert.Equal(t, []string{"x"}, s.NextTexts(1))
		s.Stop(streamtest.Timeout)
		require.NoError(t, server.Restart())
	}
}

func TestErrorOfAJournalInUseNamesTheField(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, withCacheAndJournal(server, dir))
	subscribed(t, server)
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, first.NextTexts(1))
	second := streamtest.Start(t, withCacheAndJournal(server, dir))
	second.AwaitLog("another process or another input uses it")
	assert.Contains(t, second.Log(), "field journal.path")
	first.Stop(streamtest.Timeout)
	second.AwaitLog("Input type zato_wsx is now active")
}

func TestResponsesAreSentWithAJournal(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	yaml := withCacheAndJournal(server, dir, "respond_to_messages: true") +
		"pipeline: { processors: [ { mapping: 'root = content().uppercase()' }, { sync_response: {} } ] }\n"
	s := streamtest.Start(t, yaml)
	subscribed(t, server)
	publish(t, server, "x")
	s.NextTexts(1)
	require.Eventually(t, func() bool { return len(server.Responses()) == 1 }, streamtest.Timeout, time.Millisecond)
	assert.JSONEq(t, `"X"`, string(server.Responses()[0].Response))
}
