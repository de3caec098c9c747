package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// A comparison measures several sides in turn. It makes a line of the
// table for each quantity and each side that ours is compared with.
type comparison struct {
	name       string
	quantities []quantity
	// sides are measured in this order, and in the reverse order in every second round, so
	// that changes on the machine affect all of them. The first one is ours.
	sides []side
}

// A quantity is one of the numbers that a side measures.
type quantity struct {
	// name is added to that of the comparison.
	name string
	unit unit
	// goal applies to the ratio of ours to the sides that are judged.
	goal goal
	// isCount is set if the quantity can be zero. There is no ratio then: the values of all
	// rounds are added, and the goal applies to ours.
	isCount bool
}

// A side is a program to measure.
type side struct {
	name    string
	judged  bool
	measure measurement
}

// A measurement returns the value of each quantity. It takes about the duration.
type measurement func(ctx context.Context, duration time.Duration) ([]float64, error)

// run measures all sides in each round.
func (c *comparison) run(ctx context.Context, rounds int, duration time.Duration) ([]*result, error) {
	// values are indexed by side, quantity and round.
	values := make([][][]float64, len(c.sides))
	for i := range values {
		values[i] = make([][]float64, len(c.quantities))
	}
	order := make([]int, len(c.sides))
	for i := range order {
		order[i] = i
	}
	for range rounds {
		for _, i := range order {
			runtime.GC()
			measured, err := c.sides[i].measure(ctx, duration)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", c.name, c.sides[i].name, err)
			}
			for j, v := range measured {
				values[i][j] = append(values[i][j], v)
			}
		}
		slices.Reverse(order)
	}
	return c.results(values), nil
}

// results compares the values, which are indexed by side, quantity and round.
func (c *comparison) results(values [][][]float64) []*result {
	var out []*result
	for j, q := range c.quantities {
		ours := values[0][j]
		if len(c.sides) == 1 {
			out = append(out, q.result(c.name, ours, nil))
		}
		for i, s := range c.sides[1:] {
			judged := q
			if !s.judged {
				judged.goal = goal{}
			}
			out = append(out, judged.result(c.name, ours, values[i+1][j]))
			out[len(out)-1].Name += " against " + s.name
		}
	}
	return out
}

// result compares the values of two sides, by round. The reference may be nil.
func (q *quantity) result(name string, ours, reference []float64) *result {
	if q.isCount {
		ours, reference = sum(ours), sum(reference)
	}
	r := &result{Group: groupZato, Name: name + q.name, Unit: q.unit.name, unit: q.unit, Ours: spreadOf(ours)}
	if reference != nil {
		s := spreadOf(reference)
		r.Reference = &s
	}
	if q.isCount {
		r.judge(q.goal, r.Ours)
	}
	if reference == nil || q.isCount {
		return r
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / reference[i]
	}
	ratio := spreadOf(ratios)
	r.Ratio = &ratio
	r.judge(q.goal, ratio)
	return r
}

// sum returns the sum of the values as the only element, or nil if there are none.
func sum(values []float64) []float64 {
	if len(values) == 0 {
		return nil
	}
	total := 0.0
	for _, v := range values {
		total += v
	}
	return []float64{total}
}
