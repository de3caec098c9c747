package input_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// failingAt returns a function that makes an error for the messages at these indexes of a batch.
func failingAt(indexes ...int) func(service.MessageBatch) error {
	return func(batch service.MessageBatch) error {
		err := service.NewBatchError(batch, errors.New("some failed"))
		for _, i := range indexes {
			err = err.Failed(i, errors.New("this one"))
		}
		return err
	}
}

// startMapped runs a pipeline with processors on five messages that arrive together: "a,A" to "e,E".
func startMapped(t *testing.T, processors string) *streamtest.Stream {
	t.Helper()
	server := startServer(t, wsxtest.WithDeliveryInterval(time.Second))
	s := streamtest.Start(t, receiver(server, patched)+"\npipeline: { processors: [ "+processors+" ] }")
	subscribed(t, server)
	publish(t, server, "a,A", "b,B", "c,C", "d,D", "e,E")
	return s
}

func TestOnlyFailedMessagesAreRetriedUnchanged(t *testing.T) {
	s := startMapped(t, `{ mapping: 'root = "%s %v".format(content(), @zato_priority)' },
    { mapping: 'meta zato_priority = 9' }`)
	batch := s.RejectWith(failingAt(1, 3, 4))
	assert.Equal(t, []string{"a,A 5", "b,B 5", "c,C 5", "d,D 5", "e,E 5"}, streamtest.Texts(t, batch))
	assert.Equal(t, []string{"b,B 5", "d,D 5", "e,E 5"}, streamtest.Texts(t, s.RejectWith(failingAt(2))))
	assert.Equal(t, []string{"e,E 5"}, streamtest.Texts(t, s.Reject(errors.New("not at all"))))
	assert.Equal(t, []string{"e,E 5"}, s.NextTexts(1))
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "not acknowledged")
}

func TestMessageIsRetriedOnceHoweverItWasTransformed(t *testing.T) {
	s := startMapped(t, `
    { mapping: 'root = if content().has_prefix("c") { deleted() } else { content().string().split(",") }' },
    { unarchive: { format: json_array } }`)
	text := func(texts ...string) (quoted []string) {
		for _, t := range texts {
			quoted = append(quoted, `"`+t+`"`)
		}
		return quoted
	}
	batch := s.RejectWith(failingAt(2, 3, 7))
	assert.Equal(t, text("a", "A", "b", "B", "d", "D", "e", "E"), streamtest.Texts(t, batch))
	assert.Equal(t, text("b", "B", "e", "E"), streamtest.Texts(t, s.RejectWith(failingAt(1))))
	assert.Equal(t, text("b", "B"), s.NextTexts(2))
}

func TestArchivedMessagesAreRetriedTogether(t *testing.T) {
	s := startMapped(t, `{ archive: { format: lines } }`)
	all := []string{"a,A\nb,B\nc,C\nd,D\ne,E"}
	assert.Equal(t, all, streamtest.Texts(t, s.RejectWith(failingAt(0))))
	assert.Equal(t, all, s.NextTexts(1))
}

// For a part of a split batch, the engine reports the indexes of the first messages of the whole batch.
func TestMessagesOfASplitBatchAreRetried(t *testing.T) {
	for size, rejected := range map[int][]string{1: {"c,C"}, 2: {"c,C", "d,D"}} {
		s := startMapped(t, fmt.Sprintf(`{ split: { size: %d } }`, size))
		s.NextTexts(2)
		assert.Equal(t, rejected, streamtest.Texts(t, s.Reject(errors.New("not these"))))
		s.NextTexts(5 - 2 - size)
		assert.Subset(t, s.NextTexts(5), rejected)
	}
}

func TestAllMessagesAreRetriedIfTheirIDsAreGone(t *testing.T) {
	for _, mapping := range []string{"meta = deleted()", "meta zato_msg_id = uuid_v4()"} {
		s := startMapped(t, "{ mapping: '"+mapping+"' }")
		require.Len(t, s.RejectWith(failingAt(1)), 5)
		assert.Len(t, s.NextTexts(5), 5)
	}
}

func TestMessageIsRetriedIfAPartWithAnotherIDFailed(t *testing.T) {
	s := startMapped(t, `
    { mapping: 'root = content().string().split(",")' }, { unarchive: { format: json_array } },
    { mapping: 'meta zato_msg_id = if content().re_match("[A-E]") { uuid_v4() }' }`)
	require.Len(t, s.RejectWith(failingAt(3)), 10)
	assert.Contains(t, s.NextTexts(10), `"B"`)
}

// If the error blames the first message, the input cannot know whether the batch was split. It also retries the other
// messages, but only a few times.
func TestMessageThatKeepsFailingIsSoonAlone(t *testing.T) {
	s := startMapped(t, "")
	received := map[string]int{}
	for received["a,A"] < 8 {
		batch := s.RejectWith(func(b service.MessageBatch) error {
			if first, err := b[0].AsBytes(); err != nil || string(first) != "a,A" {
				return err
			}
			return failingAt(0)(b)
		})
		for _, text := range streamtest.Texts(t, batch) {
			received[text]++
		}
	}
	s.NextTexts(1)
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "not acknowledged")
	delete(received, "a,A")
	assert.Len(t, received, 4)
	for text, times := range received {
		assert.LessOrEqual(t, times, 3, text)
	}
}

func TestBatchRetriedInHalvesIsSettledWithBoth(t *testing.T) {
	s := startMapped(t, "")
	s.RejectWith(failingAt(0))
	require.Len(t, s.Next(), 2)
	s.Stop(3 * time.Second)
	assert.Contains(t, s.Log(), "5 messages were read from Zato and not acknowledged by the pipeline")
}

func TestMessageThatKeepsBeingRejectedWaitsAndIsCountedAtTheStop(t *testing.T) {
	server, s := startReceiving(t)
	publish(t, server, "x")
	start := time.Now()
	for range 10 {
		assert.Equal(t, []string{"x"}, streamtest.Texts(t, s.Reject(errors.New("not now"))))
	}
	assert.Greater(t, time.Since(start), 100*time.Millisecond)
	s.Stop(3 * time.Second)
	assert.Contains(t, s.Log(), "1 messages were read from Zato and not acknowledged by the pipeline")
}
