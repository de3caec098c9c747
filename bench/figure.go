package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

// figure is a line of the table: something that is measured, and how good it is to
// be.
type figure struct {
	group, name string
	unit        unit
	goal        goal
	ours        opener
	// reference is what ours is compared to. Without one the goal is for ours itself.
	reference opener
}

// opener makes ready what is measured. The returned function ends it.
type opener func(ctx context.Context, s *server) (meter, func(), error)

// meter measures once, for about a while.
type meter func(ctx context.Context, about time.Duration) (float64, error)

// goal is a bound of the ratio of ours to the reference, or of ours where there is no
// reference. The zero value is none.
type goal struct {
	limit float64
	most  bool // the limit is the most that is good, not the least
}

func atLeast(limit float64) goal { return goal{limit: limit} }
func atMost(limit float64) goal  { return goal{limit: limit, most: true} }

func (g goal) met(value float64) bool {
	if g.most {
		return value <= g.limit
	}
	return value >= g.limit
}

// spread is the median of some values and the quartiles on both sides of it.
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

// result is what was measured for a figure.
type result struct {
	Group     string  `json:"group"`
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Ours      spread  `json:"ours"`
	Reference *spread `json:"reference,omitempty"`
	// Ratio is that of ours to the reference in each round, Noise that of the
	// reference to itself.
	Ratio *spread `json:"ratio,omitempty"`
	Noise *spread `json:"noise,omitempty"`
	Goal  float64 `json:"goal"`
	Most  bool    `json:"goal_is_upper_bound"`
	Met   bool    `json:"met"`
	// Missed says that the goal is missed by more than the spread.
	Missed bool `json:"missed"`

	unit unit
}

// judge says how good the median is, and the better quartile.
func (r *result) judge(g goal, s spread) {
	best := s.High
	if g.most {
		best = s.Low
	}
	r.Goal, r.Most, r.Met, r.Missed = g.limit, g.most, g.met(s.Median), !g.met(best)
}

// measure runs the rounds of a figure. In each the reference is measured before and
// after ours, so that what changes on the machine meanwhile meets both.
func (f *figure) measure(ctx context.Context, s *server, rounds int, about time.Duration) (*result, error) {
	r := &result{Group: f.group, Name: f.name, Unit: f.unit.name, unit: f.unit}
	ours, end, err := f.open(ctx, s, "ours", f.ours)
	if err != nil {
		return nil, err
	}
	defer end()
	if f.reference == nil {
		values, err := repeat(ctx, rounds, about, ours)
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
	var all [5][]float64
	for range rounds {
		values, err := repeat(ctx, 1, about, reference, ours, reference)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		before, value, after := values[0], values[1], values[2]
		mean := (before + after) / 2
		for i, v := range []float64{value, mean, value / mean, after / before} {
			all[i] = append(all[i], v)
		}
	}
	noise, ratio, base := spreadOf(all[3]), spreadOf(all[2]), spreadOf(all[1])
	r.Ours, r.Reference, r.Ratio, r.Noise = spreadOf(all[0]), &base, &ratio, &noise
	r.judge(f.goal, ratio)
	return r, nil
}

// open opens one side and lets it run once, to be warm. What it starts has its name in
// profiles, and so has who calls.
func (f *figure) open(ctx context.Context, s *server, name string, side opener) (m meter, end func(), err error) {
	labels := pprof.Labels("side", name)
	var unnamed meter
	pprof.Do(ctx, labels, func(ctx context.Context) { unnamed, end, err = side(ctx, s) })
	if err == nil {
		m = func(ctx context.Context, about time.Duration) (float64, error) {
			return unnamed(pprof.WithLabels(ctx, labels), about)
		}
		if _, err = m(ctx, warmUp); err != nil {
			end()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s, %s: %w", f.name, name, err)
	}
	return m, end, nil
}

// warmUp is how long a side runs before it is measured.
const warmUp = 100 * time.Millisecond

// repeat measures several things several times.
func repeat(ctx context.Context, times int, about time.Duration, meters ...meter) ([]float64, error) {
	var out []float64
	for range times {
		for _, m := range meters {
			runtime.GC()
			value, err := m(ctx, about)
			if err != nil {
				return nil, err
			}
			out = append(out, value)
		}
	}
	return out, nil
}

// rate makes a meter of something that can be done n times: so many things a second,
// each time being worth some.
func rate(worth int, do func(ctx context.Context, n int) error) meter {
	n := 1
	return func(ctx context.Context, about time.Duration) (float64, error) {
		for {
			began := time.Now()
			if err := do(ctx, n); err != nil {
				return 0, err
			}
			took := time.Since(began)
			done := n
			n = max(1, int(float64(n)*min(float64(about)/float64(took), 10)))
			if took > about/2 {
				return float64(done*worth) / took.Seconds(), nil
			}
		}
	}
}
