package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestComparisonMeasuresItsSidesInTurnAndThenInReverse(t *testing.T) {
	var order []string
	measured := func(name string, rate, count float64) side {
		return side{name: name, measure: func(context.Context, time.Duration) ([]float64, error) {
			order = append(order, name)
			return []float64{rate, count}, nil
		}}
	}
	baseline := measured("the baseline", 10, 3)
	baseline.judged = true
	c := &comparison{
		name:       "publish",
		quantities: []quantity{{unit: unit{"messages/s", 1}, goal: atLeast(7)}, none(": repeated")},
		sides:      []side{measured("ours", 60, 1), baseline, measured("another client", 5, 0)},
	}
	results, err := c.run(t.Context(), 2, time.Second)
	require.NoError(t, err)
	assert.Equal(t, []string{"ours", "the baseline", "another client", "another client", "the baseline", "ours"}, order)

	require.Len(t, results, 4)
	for i, want := range []struct {
		name                  string
		ours, reference, goal float64
		verdict               string
	}{
		{"publish against the baseline", 60, 10, 7, "MISSED"},
		{"publish against another client", 60, 5, 0, ""},
		{"publish: repeated against the baseline", 2, 6, 0, "MISSED"},
		{"publish: repeated against another client", 2, 0, 0, ""},
	} {
		r := results[i]
		assert.Equal(t, want.name, r.Name)
		assert.InDelta(t, want.ours, r.Ours.Median, 0, r.Name)
		assert.InDelta(t, want.reference, r.Reference.Median, 0, r.Name)
		assert.InDelta(t, want.goal, r.Goal, 0, r.Name)
		assert.Equal(t, want.verdict, r.verdict(), r.Name)
	}
	assert.InDelta(t, 6, results[0].Ratio.Median, 0)
	assert.Nil(t, results[2].Ratio)
}

func TestSideThatIsComparedWithNothingMissesNoGoal(t *testing.T) {
	q := rateOf("messages")
	assert.Empty(t, q.result("publish", []float64{0.1}, nil).verdict())
}

func TestLedgerCountsRecordsThatAreRepeatedOrOutOfOrder(t *testing.T) {
	l := newLedger(1, 9)
	first, second := l.next(4), l.next(1)
	for _, text := range []string{
		first[1], first[0], second[0], // the order of different priorities and batches is free
		first[3], first[1], // repeated
		first[2], newLedger().next(1)[0], // of another run
	} {
		assert.Len(t, text, recordSize)
		l.arrive([]byte(text))
	}
	assert.Equal(t, 1, l.repeated)
	assert.Zero(t, l.late)
	require.NoError(t, l.await(t.Context()))

	third := l.next(3)
	assert.Equal(t, 3, l.missing())
	l.arrive([]byte(third[2]))
	l.arrive([]byte(third[0])) // of the same priority
	assert.Equal(t, 1, l.late)
}

func TestLinesArriveWholeHoweverTheyAreWritten(t *testing.T) {
	var lines []string
	w := &lineWriter{each: func(line []byte) { lines = append(lines, string(line)) }}
	for _, part := range []string{"a", "b\nc", "d\n\ne\nf"} {
		n, err := w.Write([]byte(part))
		require.NoError(t, err)
		assert.Equal(t, len(part), n)
	}
	assert.Equal(t, []string{"ab", "cd", "", "e"}, lines)
}
