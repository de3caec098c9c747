//go:build unix

package zato_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what a run counted.
type result struct {
	row              *row
	messages, faults int
	lost, repeated   int
	median, longest  time.Duration
}

// count compares the lines of all consumers with the messages that the server accepted. A message whose publication was
// repeated has another id, so it does not count as repeated.
func (r *run) count(faults int) result {
	res := result{row: r.row, messages: r.publisher.count(), faults: faults}
	numbers, ids := map[int]bool{}, map[string]bool{}
	var took []time.Duration
	for _, p := range r.ended {
		p.read()
		for _, l := range p.lines {
			if ids[l.ID] {
				res.repeated++
				continue
			}
			ids[l.ID], numbers[l.Number] = true, true
			took = append(took, l.Took)
		}
	}
	res.lost = r.missing(numbers)
	if len(took) > 0 {
		slices.Sort(took)
		res.median, res.longest = took[len(took)/2], took[len(took)-1]
	}
	return res
}

// table returns the results as a table in Markdown. The times are those from the first attempt to publish a message
// until it was in the file.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("\n| gateway | input | fault | messages | faults | lost | repeated | median ms | longest ms |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d |\n", r.row.gateway, r.row.input, r.row.fault.name,
			r.messages, r.faults, r.lost, r.repeated, r.median.Milliseconds(), r.longest.Milliseconds())
	}
	return b.String()
}
