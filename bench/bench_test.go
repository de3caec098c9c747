package main

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This test does not check speed: the rounds are too short, and other tests run at the same
// time.
func TestEveryFigureIsMeasured(t *testing.T) {
	s, err := startServer(t.Context())
	require.NoError(t, err)
	defer s.close()
	var results []*result
	for _, f := range figures(&options{}) {
		if slices.Contains([]string{groupMemory, groupReconnect}, f.group) {
			continue // they take too long, and memory needs a child process
		}
		r, err := f.measure(t.Context(), s, 1, time.Millisecond)
		if f.group == groupClients {
			require.ErrorIs(t, err, errNotInstalled, f.name)
			continue
		}
		require.NoError(t, err)
		assert.Positive(t, r.Ours.Median, r.Name)
		results = append(results, r)
	}
	var table bytes.Buffer
	require.NoError(t, printTable(&table, results))
	assert.Equal(t, len(results)+2, bytes.Count(table.Bytes(), []byte("\n")))
	t.Log("\n" + table.String())
}

func TestGoalIsMissedIfTheBetterQuartileMissesIt(t *testing.T) {
	for _, c := range []struct {
		goal        goal
		met, missed bool
	}{
		{atLeast(2), true, false},
		{atLeast(3.5), false, false},
		{atLeast(5), false, true},
		{atMost(4), true, false},
		{atMost(2.5), false, false},
		{atMost(1), false, true},
	} {
		r := &result{}
		r.judge(c.goal, spreadOf([]float64{1, 5, 3, 2, 4}))
		assert.Equal(t, c.met, r.Met, "%v", c.goal)
		assert.Equal(t, c.missed, r.Missed, "%v", c.goal)
	}
}

func TestNumbersShowThreeDigits(t *testing.T) {
	for v, text := range map[float64]string{
		0: "0", 0.00001234: "0.0000123", 0.01234: "0.0123", 1.2345: "1.23", 12.345: "12.3", 12345: "12345",
	} {
		assert.Equal(t, text, formatNumber(v))
	}
}
