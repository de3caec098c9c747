package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// progressInterval is the time between updates of the progress line.
const progressInterval = 250 * time.Millisecond

// progress shows the number of lines that are done, if the output is a terminal. It is not
// safe for concurrent use.
type progress struct {
	to          io.Writer // nil if the output is not a terminal
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

// done shows that count lines are done. It does nothing if the last update is recent.
func (p *progress) done(count int) {
	if p.to == nil || time.Since(p.last) < progressInterval {
		return
	}
	p.last, p.shown = time.Now(), true
	rate := float64(count) / time.Since(p.began).Seconds()
	_, _ = fmt.Fprintf(p.to, "\r%d lines, %.0f a second ", count, rate) // if the terminal is closed, nobody misses this
}

// end moves the cursor to the next line, so that later output does not overwrite this one.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprintln(p.to) // as in done
	}
}
