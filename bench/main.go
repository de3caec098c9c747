// Bench measures the components against what they could be at best and against what
// else there is, side by side in one run, and prints a table. See
// docs/performance.md.
//
// It ends with status 1 where a goal is missed by more than the spread.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // the program begins here
	defer stop()
	start := run
	if os.Getenv(childVariable) != "" {
		start = runChild
	}
	if err := start(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// options are the flags.
type options struct {
	only   string
	quick  bool
	json   bool
	rounds int
	about  time.Duration
	// profile and flame are files for what takes the time.
	profile, flame string
	// js and python are where other clients are.
	js, python string
}

func parse(args []string) (*options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.only, "only", "",
		"what to measure: groups or other parts of the figures' names, separated by commas")
	flags.BoolVar(&o.quick, "quick", false, "three short rounds, less than a minute, without memory and reconnect")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.IntVar(&o.rounds, "rounds", 9, "how many rounds")
	flags.DurationVar(&o.about, "round", 300*time.Millisecond, "how long one side is measured in a round")
	flags.StringVar(&o.js, "js", "",
		"a directory in whose node_modules ws and zato-js-client are, for comparisons with them")
	flags.StringVar(&o.python, "python", "",
		"a virtual environment in which zato-websocket-client is, for a comparison with it")
	flags.StringVar(&o.profile, "cpuprofile", "",
		"write a profile for go tool pprof, labelled side=ours and side=reference")
	flags.StringVar(&o.flame, "flame", "", "write a flame graph of ours, as SVG")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.quick {
		o.rounds, o.about = 3, 50*time.Millisecond
	}
	return &o, nil
}

// matches tells whether a figure is to be measured.
func (o *options) matches(f *figure) bool {
	if o.quick && (f.group == groupMemory || f.group == groupReconnect) {
		return false
	}
	return slices.ContainsFunc(strings.Split(o.only, ","), func(part string) bool {
		return strings.Contains(f.group+": "+f.name, part)
	})
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	var results []*result
	err = o.profiled(func() error {
		results, err = measureAll(ctx, o, s)
		return err
	})
	if err != nil {
		return err
	}
	if err := report(os.Stdout, o, results); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r *result) bool { return r.Missed }) {
		return errors.New("goals are missed by more than the spread")
	}
	return nil
}

// measureAll measures what is wanted and there.
func measureAll(ctx context.Context, o *options, s *server) ([]*result, error) {
	var results []*result
	for _, f := range figures(o) {
		if !o.matches(&f) {
			continue
		}
		r, err := f.measure(ctx, s, o.rounds, o.about)
		if errors.Is(err, errAbsent) {
			_, _ = fmt.Fprintln(os.Stderr, "not measured:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(os.Stderr, "%s: %s: %s\n", r.Group, r.Name, r.verdict())
		results = append(results, r)
	}
	return results, nil
}

func report(w io.Writer, o *options, results []*result) error {
	if o.json {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(results)
	}
	return printTable(w, results)
}
