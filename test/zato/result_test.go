//go:build unix

package zato_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// result is what a run counted.
type result struct {
	row              *row
	messages, faults int
	lost, repeated   int
	unconfirmed      int   // as in run
	shares           []int // messages of each consumer that ran at the same time
	median, longest  time.Duration
}

// check fails the test if fetched messages were lost, or more came again than can have been unconfirmed.
func (r *result) check(t *testing.T) {
	t.Helper()
	if !r.row.fetches() {
		return
	}
	assert.Zero(t, r.lost, "lost")
	if r.row.fault.bounded {
		assert.LessOrEqual(t, r.repeated, r.unconfirmed, "repeated")
	}
}

// count compares the lines of all consumers with the messages that the server accepted. A message whose publication was
// repeated has another id, so it does not count as repeated.
func (r *run) count(faults int) result {
	res := result{row: r.row, messages: r.publisher.count(), faults: faults, unconfirmed: r.unconfirmed}
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
		if p.slot >= len(res.shares) {
			res.shares = append(res.shares, make([]int, p.slot+1-len(res.shares))...)
		}
		res.shares[p.slot] += len(p.lines)
	}
	res.lost = r.missing(numbers)
	if len(took) > 0 {
		slices.Sort(took)
		res.median, res.longest = took[len(took)/2], took[len(took)-1]
	}
	return res
}

// written returns how often each message was written, by its number. The consumers must have ended.
func (r *run) written() map[int]int {
	written := map[int]int{}
	for _, p := range r.ended {
		for _, l := range p.lines {
			written[l.Number]++
		}
	}
	return written
}

// cid is the server's id of a request, at the end of an error.
var cid = regexp.MustCompile(` \(cid [^)]*\)`)

// withoutCID returns an error without what differs each time.
func withoutCID(text string) string { return cid.ReplaceAllString(text, "") }

// table returns the results as a table in Markdown. Unconfirmed are the messages that consumers which ended had not
// confirmed, and shares the messages of each consumer that ran at the same time. The times are those from the first
// attempt to publish a message until it was in the file.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("\n| gateway | input | fault | messages | faults | lost | repeated | unconfirmed | shares | " +
		"median ms | longest ms |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d | %d |\n",
			r.row.gateway, r.row.input, r.row.fault.name, r.messages, r.faults, r.lost, r.repeated, r.unconfirmed,
			r.shares, r.median.Milliseconds(), r.longest.Milliseconds())
	}
	return b.String()
}
