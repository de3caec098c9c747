package files

import (
	"fmt"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// progressInterval is the time between two lines of progress.
const progressInterval = 5 * time.Second

// progress prints how far the input is, if the output is a terminal.
type progress struct {
	to          *os.File // nil if it is no terminal
	began, last time.Time
}

func newProgress(to *os.File) *progress {
	if !isatty.IsTerminal(to.Fd()) {
		to = nil
	}
	return &progress{to: to, began: time.Now(), last: time.Now()}
}

// show prints a line, unless the last one is recent.
func (p *progress) show(s *source, c counts) {
	if p.to == nil || time.Since(p.last) < progressInterval {
		return
	}
	p.last = time.Now()
	rate := float64(c.read) / time.Since(p.began).Seconds()
	at := ""
	if position, err := s.file.Seek(0, 1); err == nil && s.info.Size() > 0 {
		at = fmt.Sprintf(", %d of %d bytes", position, s.info.Size())
	}
	// If the terminal is closed, nobody misses this.
	_, _ = fmt.Fprintf(p.to, "%s: line %d%s; %d records, %.0f a second, %d set aside\n",
		s.path, s.line(), at, c.read, rate, c.setAside)
}
