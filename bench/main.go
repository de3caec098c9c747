// Bench measures the components against upper limits and against alternatives, side by side
// in one run, and prints a table. See docs/performance.md.
//
// It exits with status 1 if a goal is missed by more than the spread.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // the root context
	defer stop()
	start := run
	if os.Getenv(childEnv) != "" {
		start = runChild
	}
	if err := start(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// options holds the values of the flags.
type options struct {
	only      string
	quick     bool
	json      bool
	rounds    int
	roundTime time.Duration
	// profile and flame are the files to write a CPU profile and a flame graph to.
	profile, flame string
	// js and python are the directories of clients in other languages.
	js, python string
	zato       zatoOptions
}

func parseFlags(args []string) (*options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.only, "only", "",
		"measure only figures whose \"group: name\" contains one of these texts, separated by commas")
	flags.BoolVar(&o.quick, "quick", false, "three short rounds, without memory and reconnect, in less than a minute")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flags.IntVar(&o.rounds, "rounds", 9, "number of rounds per figure")
	flags.DurationVar(&o.roundTime, "round", 300*time.Millisecond, "duration of one measurement in a round")
	flags.StringVar(&o.js, "js", "",
		"directory whose node_modules has ws and zato-js-client, to compare with them")
	flags.StringVar(&o.python, "python", "",
		"virtual environment that has zato-websocket-client, to compare with it")
	flags.StringVar(&o.profile, "cpuprofile", "",
		"write a profile for go tool pprof to this file, labelled side=ours and side=reference")
	flags.StringVar(&o.flame, "flame", "", "write a flame graph of our side to this SVG file")
	o.zato.register(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.quick {
		o.rounds, o.roundTime = 3, 50*time.Millisecond
	}
	return &o, nil
}

// matches reports whether the flags select a figure.
func (o *options) matches(group, name string) bool {
	if o.quick && (group == groupMemory || group == groupReconnect) {
		return false
	}
	return slices.ContainsFunc(strings.Split(o.only, ","), func(part string) bool {
		return strings.Contains(group+": "+name, part)
	})
}

func run(ctx context.Context, args []string) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	var results []*result
	err = o.withProfile(func() error {
		results, err = measureAll(ctx, o, s)
		return err
	})
	if err != nil {
		return err
	}
	zatoResults, zatoErr := measureZato(ctx, o)
	if err := errors.Join(zatoErr, report(os.Stdout, o, append(results, zatoResults...))); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r *result) bool { return r.Missed }) {
		return errors.New("some goals are missed by more than the spread")
	}
	return nil
}

// measureAll measures the figures that the flags select. It skips those whose client is not
// installed.
func measureAll(ctx context.Context, o *options, s *server) ([]*result, error) {
	var results []*result
	for _, f := range figures(o) {
		if !o.matches(f.group, f.name) {
			continue
		}
		r, err := f.measure(ctx, s, o.rounds, o.roundTime)
		if errors.Is(err, errNotInstalled) {
			_, _ = fmt.Fprintln(os.Stderr, "not measured:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		r.note()
		results = append(results, r)
	}
	return results, nil
}

// measureZato measures the comparisons that the flags select, if they name a Zato server. It
// goes on if one fails.
func measureZato(ctx context.Context, o *options) ([]*result, error) {
	if o.zato.address == "" {
		return nil, nil
	}
	z, err := openZato(ctx, o)
	if err != nil {
		return nil, err
	}
	defer z.close()
	var results []*result
	var failures []error
	for _, c := range z.comparisons() {
		if !o.matches(groupZato, c.name) {
			continue
		}
		measured, err := c.run(ctx, o.rounds, o.roundTime)
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "not measured:", err)
			failures = append(failures, err)
			continue
		}
		for _, r := range measured {
			r.note()
		}
		results = append(results, measured...)
	}
	return results, errors.Join(failures...)
}

// note prints that a figure was measured.
func (r *result) note() { _, _ = fmt.Fprintf(os.Stderr, "%s: %s: %s\n", r.Group, r.Name, r.verdict()) }

func report(w io.Writer, o *options, results []*result) error {
	if o.json {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(results)
	}
	return printTable(w, results)
}
