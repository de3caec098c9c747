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

// script is a program in another language that measures a client which is no part of
// this module.
type script struct {
	// dir is where the client is, and flag the flag that names it.
	dir, flag string
	// interpreter is what runs the program, there.
	interpreter string
	// needs is a line that fails where the client is absent.
	needs string
	// program measures a channel for so many milliseconds, the two arguments, and prints
	// a number.
	program string
}

// node measures with a program for Node.
func node(o *options, needs, program string) opener {
	return (&script{o.js, "js", "node", needs, program}).open
}

// python measures with a program for the Python of a virtual environment.
func python(o *options, needs, program string) opener {
	return (&script{o.python, "python", "bin/python", needs, program}).open
}

// errAbsent says that a client is not there to be measured.
var errAbsent = errors.New("absent")

func (p *script) open(ctx context.Context, s *server) (meter, func(), error) {
	if p.dir == "" {
		return nil, nil, fmt.Errorf("%w; see -%s", errAbsent, p.flag)
	}
	if err := p.command(ctx, p.needs).Run(); err != nil {
		return nil, nil, fmt.Errorf("%w in %s: %s: %w", errAbsent, p.dir, p.needs, err)
	}
	return func(ctx context.Context, about time.Duration) (float64, error) {
		// Some clients wait for ever when something is wrong.
		ctx, stop := context.WithTimeout(ctx, about+time.Minute)
		defer stop()
		return printedBy(p.command(ctx, p.program, local("0ms")(s), strconv.FormatInt(about.Milliseconds(), 10)))
	}, func() {}, nil
}

// printedBy is the number that a program prints.
func printedBy(cmd *exec.Cmd) (float64, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// command runs a program, which the interpreter reads from its input.
func (p *script) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	//nolint:gosec // the programs are ours, the directory the user's
	cmd := exec.CommandContext(ctx, p.interpreter, append([]string{"-"}, args...)...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(program)
	return cmd
}
