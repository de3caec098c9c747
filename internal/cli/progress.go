package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// progressInterval is the time between changes of the progress line.
const progressInterval = 250 * time.Millisecond

// progress shows how far long work has come, where somebody looks at a terminal.
// It is for one goroutine.
type progress struct {
	to          io.Writer // nil where nobody looks
	began, last time.Time
	shown       bool
}

func newProgress(to io.Writer) *progress {
	p := &progress{began: time.Now(), last: time.Now()}
	if f, ok := to.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.to = to
	}
	return p
}

// done shows that so many are done, not too often.
func (p *progress) done(count int) {
	if p.to == nil || time.Since(p.last) < progressInterval {
		return
	}
	p.last, p.shown = time.Now(), true
	rate := float64(count) / time.Since(p.began).Seconds()
	_, _ = fmt.Fprintf(p.to, "\r%d lines, %.0f a second ", count, rate) // a terminal that is gone shows nothing
}

// end leaves the line for what comes after it.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprintln(p.to) // as above
	}
}
