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

// stdinArg is the argument that stands for the lines of standard input.
const stdinArg = "-"

// forEachLine calls do for the argument, or for each line of standard input that is
// not empty. It ends with the first failure, and names its line, so that the rest
// can be done later.
func forEachLine(ctx context.Context, c *ucli.Context, argument string, do func(line []byte) error) error {
	if argument != stdinArg {
		return do([]byte(argument))
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

// line is one that was read, or why there are no more.
type line struct {
	text []byte
	err  error
}

// readLines reads lines until ctx ends, which a read that is under way does not
// notice. The last one has an error.
func readLines(ctx context.Context, from io.Reader) <-chan line {
	lines := make(chan line)
	give := func(l line) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		scanner := bufio.NewScanner(from)
		scanner.Buffer(nil, wsx.DefaultMaxMessageSize)
		for scanner.Scan() {
			if !give(line{text: append([]byte(nil), scanner.Bytes()...)}) {
				return
			}
		}
		err := scanner.Err()
		if err == nil {
			err = io.EOF
		}
		give(line{err: err})
	}()
	return lines
}
