package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// unit is what a figure is counted in.
type unit struct {
	name string
	// scale is how many of what the meter counts make one.
	scale float64
}

func perSecond(things string) unit { return unit{"thousand " + things + "/s", 1000} }

// printTable writes the results as a table in Markdown.
func printTable(w io.Writer, results []*result) error {
	out := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	head := "| figure \t| ours \t| reference \t| \t| ratio \t| reference twice \t| goal \t| \t|\n" +
		"| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t| --- \t|\n"
	_, err := io.WriteString(out, head)
	for _, r := range results {
		if err != nil {
			return err
		}
		reference, ratio, noise := "", "", ""
		ours := r.spread(r.Ours)
		if r.Ratio != nil {
			reference = number(r.Reference.Median / r.unit.scale)
			ratio, noise = format(*r.Ratio), format(*r.Noise)
			ours = number(r.Ours.Median / r.unit.scale)
		}
		_, err = fmt.Fprintf(out, "| %s: %s \t| %s \t| %s \t| %s \t| %s \t| %s \t| %s \t| %s \t|\n",
			r.Group, r.Name, ours, reference, r.unit.name, ratio, noise, r.wanted(), r.verdict())
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (r *result) spread(s spread) string {
	return format(spread{s.Low / r.unit.scale, s.Median / r.unit.scale, s.High / r.unit.scale})
}

func (r *result) wanted() string {
	if r.Goal == 0 {
		return ""
	}
	limit, sign := r.Goal, ">= "
	if r.Ratio == nil {
		limit /= r.unit.scale
	}
	if r.Most {
		sign = "<= "
	}
	return sign + number(limit)
}

func (r *result) verdict() string {
	switch {
	case r.Goal == 0:
		return ""
	case r.Met:
		return "met"
	case r.Missed:
		return "MISSED"
	}
	return "missed within the spread"
}

func format(s spread) string {
	return fmt.Sprintf("%s [%s-%s]", number(s.Median), number(s.Low), number(s.High))
}

// number shows three digits or so.
func number(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', digits, 64)
}
