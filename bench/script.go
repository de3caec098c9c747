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
	// dir is the directory in which the client is installed. flag is the flag that names
	// it.
	dir, flag string
	// interpreter runs the program, in dir.
	interpreter string
	// check is a program that fails if the client is not installed.
	check string
	// program measures calls. It gets the address of a channel and a duration in
	// milliseconds as arguments, and prints a number.
	program string
}

// node returns an opener that measures with a program for Node.
func node(o *options, check, program string) opener {
	return (&script{o.js, "js", "node", check, program}).open
}

// python returns an opener that measures with a program for the Python of a virtual
// environment.
func python(o *options, check, program string) opener {
	return (&script{o.python, "python", "bin/python", check, program}).open
}

// errNotInstalled is returned for a figure whose client is not installed.
var errNotInstalled = errors.New("client not installed")

func (s *script) open(ctx context.Context, srv *server) (meter, func(), error) {
	if s.dir == "" {
		return nil, nil, fmt.Errorf("%w: name its directory with -%s", errNotInstalled, s.flag)
	}
	if err := s.command(ctx, s.check).Run(); err != nil {
		return nil, nil, fmt.Errorf("%w in %s: %s: %w", errNotInstalled, s.dir, s.check, err)
	}
	return func(ctx context.Context, duration time.Duration) (float64, error) {
		// Some clients hang if something goes wrong.
		ctx, cancel := context.WithTimeout(ctx, duration+time.Minute)
		defer cancel()
		milliseconds := strconv.FormatInt(duration.Milliseconds(), 10)
		return numberFrom(s.command(ctx, s.program, localAddress("0ms")(srv), milliseconds))
	}, func() {}, nil
}

// numberFrom runs a command and returns the number that it prints.
func numberFrom(cmd *exec.Cmd) (float64, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// command returns a command that runs a program. The interpreter reads the program from its
// standard input.
func (s *script) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	//nolint:gosec // the programs are embedded, and the user names the directory
	cmd := exec.CommandContext(ctx, s.interpreter, append([]string{"-"}, args...)...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(program)
	return cmd
}
