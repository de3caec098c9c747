package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// A unit is the unit in which the table shows a figure.
type unit struct {
	name string
	// scale is the number of the meter's units in one of this unit.
	scale float64
}

func thousandsPerSecond(noun string) unit { return unit{"thousand " + noun + "/s", 1000} }

// printTable writes the results as a Markdown table.
func printTable(w io.Writer, results []*result) error {
	out := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	head := "| figure \t| ours \t| reference \t| unit \t| ratio \t| noise \t| goal \t| result \t|\n" +
		"| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t|\n"
	_, err := io.WriteString(out, head)
	for _, r := range results {
		if err != nil {
			return err
		}
		reference, ratio, noise := "", "", ""
		ours := r.spreadText(r.Ours)
		if r.Reference != nil {
			reference = formatNumber(r.Reference.Median / r.unit.scale)
			ours = formatNumber(r.Ours.Median / r.unit.scale)
		}
		if r.Ratio != nil {
			ratio = formatSpread(*r.Ratio)
		}
		if r.Noise != nil {
			noise = formatSpread(*r.Noise)
		}
		_, err = fmt.Fprintf(out, "| %s: %s \t| %s \t| %s \t| %s \t| %s \t| %s \t| %s \t| %s \t|\n",
			r.Group, r.Name, ours, reference, r.unit.name, ratio, noise, r.goalText(), r.verdict())
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (r *result) spreadText(s spread) string {
	return formatSpread(spread{s.Low / r.unit.scale, s.Median / r.unit.scale, s.High / r.unit.scale})
}

func (r *result) goalText() string {
	if !r.hasGoal() {
		return ""
	}
	limit, sign := r.Goal, ">= "
	if r.Ratio == nil {
		limit /= r.unit.scale
	}
	if r.GoalIsUpperBound {
		sign = "<= "
	}
	return sign + formatNumber(limit)
}

// hasGoal reports whether there is a goal. A count may have the goal to be zero.
func (r *result) hasGoal() bool { return r.Goal != 0 || r.GoalIsUpperBound }

func (r *result) verdict() string {
	switch {
	case !r.hasGoal():
		return ""
	case r.Met:
		return "met"
	case r.Missed:
		return "MISSED"
	}
	return "missed within the spread"
}

func formatSpread(s spread) string {
	return fmt.Sprintf("%s [%s-%s]", formatNumber(s.Median), formatNumber(s.Low), formatNumber(s.High))
}

// formatNumber formats a number with about three significant digits.
func formatNumber(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', digits, 64)
}
