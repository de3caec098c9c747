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
	pictureWidth = 1200
	rowHeight    = 18
	letterWidth  = 6.7
	// minimalShare is the share of the time below which a function is left out.
	minimalShare = 0.001
)

// picture is an SVG with the root at the top. All its texts stand in boxes that have
// colours, so that they can be read on any ground.
func (f *flame) picture() []byte {
	var boxes bytes.Buffer
	for i, k := range [][2]string{
		{kindProject, "this project"}, {kindEngine, "Connect's engine"}, {kindOther, "other packages"}, {kindGo, "Go's own"},
	} {
		const wide = 150
		box{k[0], 0, float64(i * wide), wide}.draw(&boxes, k[1])
	}
	rows := f.draw(&boxes, f.takes, 0, 2)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img"
     font-family="ui-monospace, monospace" font-size="11">
  <title>What takes the time</title>
  <style>
    .project { fill: #ffab70 } .engine { fill: #ffdf5d } .other { fill: #9ecbff } .go { fill: #d1d5da }
    text { fill: #24292f }
  </style>
%s</svg>
`, pictureWidth, rows*rowHeight, boxes.Bytes())
}

// draw draws a function that begins at a time of all, and what it calls below it. It
// returns how many rows there are then.
func (f *flame) draw(to *bytes.Buffer, all, at int64, row int) int {
	pixels := func(t int64) float64 { return pictureWidth * float64(t) / float64(all) }
	share := 100 * float64(f.takes) / float64(all)
	fmt.Fprintf(to, "<g><title>%s: %.1f %%</title>\n", html.EscapeString(f.function), share)
	box{kindOf(f.function), row, pixels(at), pixels(f.takes)}.draw(to, labels(f.function)...)
	to.WriteString("</g>\n")
	rows := row + 1
	for _, called := range slices.SortedFunc(maps.Values(f.calls), slowestFirst) {
		if float64(called.takes) >= minimalShare*float64(all) {
			rows = max(rows, called.draw(to, all, at, row+1))
		}
		at += called.takes
	}
	return rows
}

func slowestFirst(a, b *flame) int {
	return cmp.Or(cmp.Compare(b.takes, a.takes), strings.Compare(a.function, b.function))
}

// box stands for a kind of functions, or for one.
type box struct {
	kind     string
	row      int
	x, width float64
}

// draw draws a box with the first of some labels that fits.
func (b box) draw(to *bytes.Buffer, labels ...string) {
	const gap, baseline = 0.5, 13
	y := b.row * rowHeight
	fmt.Fprintf(to, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n",
		b.kind, b.x, y, b.width-gap, rowHeight-1)
	for _, label := range labels {
		if float64(len(label)+1)*letterWidth <= b.width {
			fmt.Fprintf(to, `<text x="%.1f" y="%d">%s</text>`+"\n",
				b.x+letterWidth/2, y+baseline, html.EscapeString(label))
			return
		}
	}
}

// The kinds of functions, of which each has a colour.
const (
	kindProject = "project"
	kindEngine  = "engine"
	kindOther   = "other"
	kindGo      = "go"
)

func kindOf(function string) string {
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

// labels are the name of a function with its package, and without package and type.
func labels(function string) []string {
	long := function[strings.LastIndex(function, "/")+1:]
	_, short, method := strings.Cut(long, ").")
	if !method {
		_, short, _ = strings.Cut(long, ".")
	}
	return []string{long, short}
}
