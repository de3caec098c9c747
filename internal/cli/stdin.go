package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

// stdinArg is the argument that means: read the lines of standard input.
const stdinArg = "-"

// forEachLine calls do with the argument. If that is stdinArg, it calls do with each
// non-empty line of standard input instead. It stops at the first error and names the
// line, so that the user can continue from there.
func forEachLine(ctx context.Context, c *ucli.Context, arg string, do func(line []byte) error) error {
	if arg != stdinArg {
		return do([]byte(arg))
	}
	progress := newProgress(c.App.ErrWriter)
	defer progress.end()
	lines := readLines(ctx, c.App.Reader)
	for number := 1; ; number++ {
		select {
		case line := <-lines:
			if errors.Is(line.err, io.EOF) {
				return nil
			}
			err := line.err
			if err == nil && len(line.text) > 0 {
				err = do(line.text)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			progress.done(number)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// line is a line of standard input, or the error that ended it.
type line struct {
	text []byte
	err  error
}

// readLines sends the lines of a reader, until ctx ends. The last one has an error, which
// is io.EOF at the end of the input. The end of ctx does not interrupt a blocked read: the
// goroutine then stays until the read returns or the process exits.
func readLines(ctx context.Context, r io.Reader) <-chan line {
	lines := make(chan line)
	send := func(l line) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, wsx.DefaultMaxMessageSize)
		for scanner.Scan() {
			if !send(line{text: append([]byte(nil), scanner.Bytes()...)}) {
				return
			}
		}
		err := scanner.Err()
		if err == nil {
			err = io.EOF
		}
		send(line{err: err})
	}()
	return lines
}
