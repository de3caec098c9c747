package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

// A figure is one line of the table: something to measure, and a goal for it.
type figure struct {
	group, name string
	unit        unit
	goal        goal
	ours        opener
	// reference is the side that ours is compared with. If it is nil, the goal applies to
	// ours itself.
	reference opener
}

// An opener prepares one side of a figure. The returned function closes it.
type opener func(ctx context.Context, s *server) (meter, func(), error)

// A meter measures once, for about the given duration.
type meter func(ctx context.Context, duration time.Duration) (float64, error)

// A goal is a bound for the ratio of ours to the reference, or for ours if there is no
// reference. The zero value stands for no goal.
type goal struct {
	limit        float64
	isUpperBound bool // a value meets the goal if it is at most the limit
}

func atLeast(limit float64) goal { return goal{limit: limit} }
func atMost(limit float64) goal  { return goal{limit: limit, isUpperBound: true} }

func (g goal) met(value float64) bool {
	if g.isUpperBound {
		return value <= g.limit
	}
	return value >= g.limit
}

// A spread is the median of some values, and their lower and upper quartiles.
type spread struct {
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	last := len(sorted) - 1
	return spread{sorted[last/4], sorted[len(sorted)/2], sorted[last-last/4]}
}

// A result is the measurement of a figure.
type result struct {
	Group     string  `json:"group"`
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Ours      spread  `json:"ours"`
	Reference *spread `json:"reference,omitempty"`
	// Ratio is ours divided by the reference, in each round. Noise is the second
	// measurement of the reference divided by the first.
	Ratio            *spread `json:"ratio,omitempty"`
	Noise            *spread `json:"noise,omitempty"`
	Goal             float64 `json:"goal"`
	GoalIsUpperBound bool    `json:"goal_is_upper_bound"`
	Met              bool    `json:"met"`
	// Missed reports whether the goal is missed by more than the spread.
	Missed bool `json:"missed"`

	unit unit
}

// judge compares the median and the better quartile with the goal.
func (r *result) judge(g goal, s spread) {
	best := s.High
	if g.isUpperBound {
		best = s.Low
	}
	r.Goal, r.GoalIsUpperBound, r.Met, r.Missed = g.limit, g.isUpperBound, g.met(s.Median), !g.met(best)
}

// measure runs the rounds of a figure. Each round measures the reference before and after
// ours, so that changes on the machine affect both sides.
func (f *figure) measure(ctx context.Context, s *server, rounds int, duration time.Duration) (*result, error) {
	r := &result{Group: f.group, Name: f.name, Unit: f.unit.name, unit: f.unit}
	ours, end, err := f.open(ctx, s, "ours", f.ours)
	if err != nil {
		return nil, err
	}
	defer end()
	if f.reference == nil {
		values, err := repeat(ctx, rounds, duration, ours)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		r.Ours = spreadOf(values)
		r.judge(f.goal, r.Ours)
		return r, nil
	}
	reference, end, err := f.open(ctx, s, "reference", f.reference)
	if err != nil {
		return nil, err
	}
	defer end()
	var columns [5][]float64
	for range rounds {
		values, err := repeat(ctx, 1, duration, reference, ours, reference)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		before, value, after := values[0], values[1], values[2]
		mean := (before + after) / 2
		for i, v := range []float64{value, mean, value / mean, after / before} {
			columns[i] = append(columns[i], v)
		}
	}
	noise, ratio, referenceSpread := spreadOf(columns[3]), spreadOf(columns[2]), spreadOf(columns[1])
	r.Ours, r.Reference, r.Ratio, r.Noise = spreadOf(columns[0]), &referenceSpread, &ratio, &noise
	r.judge(f.goal, ratio)
	return r, nil
}

// open opens one side and warms it up. It labels the goroutines that the side starts, and
// those that measure it, with the side's name for profiles.
func (f *figure) open(ctx context.Context, s *server, name string, side opener) (m meter, end func(), err error) {
	labels := pprof.Labels("side", name)
	var unlabelled meter
	pprof.Do(ctx, labels, func(ctx context.Context) { unlabelled, end, err = side(ctx, s) })
	if err == nil {
		m = func(ctx context.Context, duration time.Duration) (float64, error) {
			return unlabelled(pprof.WithLabels(ctx, labels), duration)
		}
		if _, err = m(ctx, warmUpTime); err != nil {
			end()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s, %s: %w", f.name, name, err)
	}
	return m, end, nil
}

// warmUpTime is how long a side runs before it is measured.
const warmUpTime = 100 * time.Millisecond

// repeat measures with each meter in turn in every round. It returns all values.
func repeat(ctx context.Context, rounds int, duration time.Duration, meters ...meter) ([]float64, error) {
	var out []float64
	for range rounds {
		for _, measure := range meters {
			runtime.GC()
			value, err := measure(ctx, duration)
			if err != nil {
				return nil, err
			}
			out = append(out, value)
		}
	}
	return out, nil
}

// rate returns a meter of work, a function that does something n times. The meter returns a
// rate per second, in which each time counts as perRun.
func rate(perRun int, work func(ctx context.Context, n int) error) meter {
	n := 1
	return func(ctx context.Context, duration time.Duration) (float64, error) {
		for {
			start := time.Now()
			if err := work(ctx, n); err != nil {
				return 0, err
			}
			elapsed := time.Since(start)
			done := n
			n = max(1, int(float64(n)*min(float64(duration)/float64(elapsed), 10)))
			if elapsed > duration/2 {
				return float64(done*perRun) / elapsed.Seconds(), nil
			}
		}
	}
}
