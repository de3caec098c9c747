package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
)

const (
	svgWidth  = 1200
	rowHeight = 18
	charWidth = 6.7
	// minShare is the share of the time below which a function is not drawn.
	minShare = 0.001
)

// svg draws the graph as an SVG with the root at the top. All text is in coloured boxes, so
// that it is readable on any background.
func (n *flameNode) svg() []byte {
	var boxes bytes.Buffer
	for i, k := range [][2]string{
		{kindProject, "this project"},
		{kindEngine, "Connect's engine"},
		{kindOther, "other packages"},
		{kindGo, "Go standard library"},
	} {
		const legendWidth = 150
		box{k[0], 0, float64(i * legendWidth), legendWidth}.draw(&boxes, k[1])
	}
	rows := n.draw(&boxes, n.nanoseconds, 0, 2)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img"
     font-family="ui-monospace, monospace" font-size="11">
  <title>Where the CPU time goes</title>
  <style>
    .project { fill: #ffab70 } .engine { fill: #ffdf5d } .other { fill: #9ecbff } .go { fill: #d1d5da }
    text { fill: #24292f }
  </style>
%s</svg>
`, svgWidth, rows*rowHeight, boxes.Bytes())
}

// draw draws a function and its callees below it. start is where its time begins, and total
// is the time of the whole graph. It returns the number of rows in use.
func (n *flameNode) draw(out *bytes.Buffer, total, start int64, row int) int {
	pixels := func(t int64) float64 { return svgWidth * float64(t) / float64(total) }
	share := 100 * float64(n.nanoseconds) / float64(total)
	fmt.Fprintf(out, "<g><title>%s: %.1f %%</title>\n", html.EscapeString(n.function), share)
	box{functionKind(n.function), row, pixels(start), pixels(n.nanoseconds)}.draw(out, functionLabels(n.function)...)
	out.WriteString("</g>\n")
	rows := row + 1
	for _, callee := range slices.SortedFunc(maps.Values(n.callees), slowestFirst) {
		if float64(callee.nanoseconds) >= minShare*float64(total) {
			rows = max(rows, callee.draw(out, total, start, row+1))
		}
		start += callee.nanoseconds
	}
	return rows
}

func slowestFirst(a, b *flameNode) int {
	return cmp.Or(cmp.Compare(b.nanoseconds, a.nanoseconds), strings.Compare(a.function, b.function))
}

// A box is the rectangle of a function, or of a kind of functions in the legend.
type box struct {
	kind     string
	row      int
	x, width float64
}

// draw draws a box with the first of the labels that fits.
func (b box) draw(out *bytes.Buffer, labels ...string) {
	const gap, baseline = 0.5, 13
	y := b.row * rowHeight
	fmt.Fprintf(out, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n",
		b.kind, b.x, y, b.width-gap, rowHeight-1)
	for _, label := range labels {
		if float64(len(label)+1)*charWidth <= b.width {
			fmt.Fprintf(out, `<text x="%.1f" y="%d">%s</text>`+"\n",
				b.x+charWidth/2, y+baseline, html.EscapeString(label))
			return
		}
	}
}

// The kinds of functions. Each has its own colour.
const (
	kindProject = "project"
	kindEngine  = "engine"
	kindOther   = "other"
	kindGo      = "go"
)

func functionKind(function string) string {
	first, _, _ := strings.Cut(function, "/")
	switch {
	case strings.HasPrefix(function, "github.com/zato-connect/"), strings.HasPrefix(function, "main."):
		return kindProject
	case strings.HasPrefix(function, "github.com/redpanda-data/benthos/"):
		return kindEngine
	case first != function && strings.Contains(first, "."):
		return kindOther
	}
	return kindGo
}

// functionLabels returns the labels of a function, the longest first: its name with its
// package, and its name without package and type.
func functionLabels(function string) []string {
	long := function[strings.LastIndex(function, "/")+1:]
	_, short, method := strings.Cut(long, ").")
	if !method {
		_, short, _ = strings.Cut(long, ".")
	}
	return []string{long, short}
}
