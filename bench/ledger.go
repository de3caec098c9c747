package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// recordSize is the number of bytes of a record.
	recordSize = 1024
	// settleTime is how long no record arrives before the missing ones count as lost.
	settleTime = 30 * time.Second
)

// A record is the content of a message. It is a line of text that begins with five words: the run, the priority, the
// batch, the number in the batch, and the time in nanoseconds.
type record struct {
	run                     string
	priority, batch, number int
	made                    time.Time
}

// recordID is a Bloblang expression for the id of a record, and recordPriority one for its priority.
const (
	recordID       = `content().string().split(" ").slice(0, 4).join("-")`
	recordPriority = `content().string().split(" ").index(1)`
)

func (r *record) String() string {
	text := fmt.Sprintf("%s %d %d %d %d ", r.run, r.priority, r.batch, r.number, r.made.UnixNano())
	return text + strings.Repeat("x", recordSize-len(text))
}

// parseRecord reports false if the text is not a record of the run.
func parseRecord(text []byte, run string) (record, bool) {
	words := bytes.SplitN(text, []byte{' '}, 6)
	if len(words) < 6 || string(words[0]) != run {
		return record{}, false
	}
	var numbers [4]int
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.Atoi(string(words[i+1])); err != nil {
			return record{}, false
		}
	}
	return record{run, numbers[0], numbers[1], numbers[2], time.Unix(0, int64(numbers[3]))}, true
}

// A ledger makes the records of a run, in batches, and counts those that arrive.
type ledger struct {
	run        string
	priorities []int // of the records of a batch in turn, or none

	// mu guards the fields below.
	mu             sync.Mutex
	batches, made  int
	arrived        map[[2]int]struct{} // by batch and number
	highest        map[[2]int]int      // the last number by batch and priority
	repeated, late int                 // late ones arrived after a record that follows them
	latencies      []time.Duration
	began, last    time.Time // when the first batch was made, and when the last record arrived
	progress       chan struct{}
}

func newLedger(priorities ...int) *ledger {
	return &ledger{
		run: rand.Text(), priorities: priorities,
		arrived: map[[2]int]struct{}{}, highest: map[[2]int]int{}, progress: make(chan struct{}, 1),
	}
}

// next makes the next batch.
func (l *ledger) next(size int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]string, size)
	for i := range batch {
		r := record{run: l.run, batch: l.batches, number: i, made: time.Now()}
		if len(l.priorities) > 0 {
			r.priority = l.priorities[i%len(l.priorities)]
		}
		batch[i] = r.String()
	}
	if l.batches == 0 {
		l.began = time.Now()
	}
	l.batches++
	l.made += size
	return batch
}

// arrive notes a record that arrived now. It ignores those of other runs.
func (l *ledger) arrive(text []byte) {
	now := time.Now()
	r, ok := parseRecord(text, l.run)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	position, lane := [2]int{r.batch, r.number}, [2]int{r.batch, r.priority}
	if _, known := l.arrived[position]; known {
		l.repeated++
		return
	}
	l.arrived[position] = struct{}{}
	if r.number < l.highest[lane] {
		l.late++
	}
	l.highest[lane] = max(l.highest[lane], r.number)
	l.latencies = append(l.latencies, now.Sub(r.made))
	l.last = now
	select {
	case l.progress <- struct{}{}:
	default: // a signal is pending
	}
}

// missing returns how many records have not arrived.
func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made - len(l.arrived)
}

// count returns how many records have arrived.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.arrived)
}

// rate returns how many records a second arrived since a time.
func (l *ledger) rate(start time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(len(l.arrived)) / l.last.Sub(start).Seconds()
}

// await waits until all records that were made have arrived.
func (l *ledger) await(ctx context.Context) error {
	for l.missing() > 0 {
		select {
		case <-l.progress:
		case <-time.After(settleTime):
			return fmt.Errorf("%d of %d messages did not arrive", l.missing(), l.made)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// A lineWriter calls a function with each line that is written to it.
type lineWriter struct {
	unread []byte
	each   func(line []byte)
}

func (w *lineWriter) Write(text []byte) (int, error) {
	w.unread = append(w.unread, text...)
	for {
		line, rest, whole := bytes.Cut(w.unread, []byte{'\n'})
		if !whole {
			return len(text), nil
		}
		w.each(line)
		w.unread = rest
	}
}
