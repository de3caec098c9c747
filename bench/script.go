package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A script is a program in another language that measures a client which is not part of
// this module.
type script struct {
	name string
	// dir is the directory in which the client is installed. flag is the flag that names
	// it.
	dir, flag string
	// interpreter runs the program, in dir.
	interpreter string
	// check is a program that fails if the client is not installed.
	check string
	// program measures calls. It gets the address of a channel, a duration in milliseconds and
	// further arguments, and prints numbers, one on each line.
	program string
}

// errNotInstalled is returned for a figure whose client is not installed.
var errNotInstalled = errors.New("client not installed")

// installed returns an error if the client is not installed.
func (s *script) installed(ctx context.Context) error {
	if s.dir == "" {
		return fmt.Errorf("%w: name its directory with -%s", errNotInstalled, s.flag)
	}
	if err := s.command(ctx, s.check).Run(); err != nil {
		return fmt.Errorf("%w in %s: %s: %w", errNotInstalled, s.dir, s.check, err)
	}
	return nil
}

// numbers runs the program and returns the numbers that it prints, one on each line.
func (s *script) numbers(
	ctx context.Context, address string, duration time.Duration, args ...string,
) ([]float64, error) {
	// Some clients hang if something goes wrong.
	ctx, cancel := context.WithTimeout(ctx, duration+time.Minute)
	defer cancel()
	args = append([]string{address, strconv.FormatInt(duration.Milliseconds(), 10)}, args...)
	return numbersFrom(s.command(ctx, s.program, args...))
}

// opener returns an opener that measures calls of the service bench on the server of the bench.
func (s *script) opener(args ...string) opener {
	return func(ctx context.Context, srv *server) (meter, func(), error) {
		return func(ctx context.Context, duration time.Duration) (float64, error) {
			numbers, err := s.numbers(ctx, localAddress("0ms")(srv), duration, args...)
			if err != nil {
				return 0, err
			}
			return spreadOf(numbers).Median, nil
		}, func() {}, s.installed(ctx)
	}
}

// numbersFrom runs a command and returns the numbers that it prints, one on each line.
func numbersFrom(cmd *exec.Cmd) ([]float64, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var numbers []float64
	for line := range strings.Lines(string(out)) {
		n, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return nil, errors.New("the program printed nothing")
	}
	return numbers, nil
}

// command returns a command that runs a program. The interpreter reads the program from its
// standard input.
func (s *script) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	//nolint:gosec // the programs are embedded, and the user names the directory
	cmd := exec.CommandContext(ctx, s.interpreter, append([]string{"-"}, args...)...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(program)
	return cmd
}
