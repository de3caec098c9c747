package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zato-connect/zato-connect/wsx"
)

const groupMemory = "memory"

// childVariable makes the program a child that opens connections and says how much
// memory each takes.
const childVariable = "BENCH_CHILD"

const (
	childConnections = 5000
	childCalls       = "calls"
	childSubscribes  = "subscriptions"
)

func memoryFigures() []figure {
	kb := unit{"KB", 1000}
	return []figure{
		{
			group: groupMemory, name: "an idle connection for calls of 5000", unit: kb, goal: atMost(14_000),
			ours: resident(childCalls),
		},
		{
			group: groupMemory, name: "an idle connection that subscribes of 5000", unit: kb, goal: atMost(24_000),
			ours: resident(childSubscribes),
		},
	}
}

// resident measures the resident memory of a connection in a process of its own.
func resident(kind string) opener {
	return func(_ context.Context, s *server) (meter, func(), error) {
		return func(ctx context.Context, about time.Duration) (float64, error) {
			if about == warmUp {
				return 0, nil // nothing stays warm
			}
			ctx, done := context.WithCancel(ctx)
			defer done()
			go s.ignoreReaders(ctx)
			child := exec.CommandContext(ctx, os.Args[0], s.url("/zato/0s")) //nolint:gosec // this program
			child.Env = append(os.Environ(), childVariable+"="+kind)
			return printedBy(child)
		}, func() {}, nil
	}
}

// ignoreReaders lets connections become ready for messages that nobody sends.
func (s *server) ignoreReaders(ctx context.Context) {
	for {
		select {
		case <-s.readers:
		case <-ctx.Done():
			return
		}
	}
}

// runChild is the child.
func runChild(ctx context.Context, args []string) error {
	before, err := residentBytes()
	if err != nil {
		return err
	}
	kind := os.Getenv(childVariable)
	conf := wsx.Config{Address: args[0]}
	clients, end, err := openClients(ctx, conf, childConnections)
	if err != nil {
		return err
	}
	defer end()
	if kind == childSubscribes {
		for _, c := range clients {
			if _, err := c.Subscribe(ctx, wsx.Subscription{Topic: "/bench"}); err != nil {
				return err
			}
		}
	}
	after, err := residentBytes()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, (after-before)/childConnections)
	return err
}

// openClients opens clients, some at a time.
func openClients(ctx context.Context, conf wsx.Config, n int) ([]*wsx.Client, func(), error) {
	clients := make([]*wsx.Client, n)
	var opening errgroup.Group
	opening.SetLimit(64)
	for i := range clients {
		var err error
		if clients[i], err = wsx.New(conf); err != nil {
			return nil, nil, err
		}
		opening.Go(func() error { return clients[i].AwaitReady(ctx) })
	}
	end := func() {
		var closing errgroup.Group
		for _, c := range clients {
			closing.Go(c.Close)
		}
		_ = closing.Wait() // they never fail
	}
	if err := opening.Wait(); err != nil {
		end()
		return nil, nil, err
	}
	return clients, end, nil
}

var rss = regexp.MustCompile(`VmRSS:\s*(\d+) kB`)

// residentBytes is how much memory the process has when it has given back what it
// does not need.
func residentBytes() (int, error) {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	found := rss.FindSubmatch(status)
	if found == nil {
		return 0, errors.New("/proc does not say how much memory a process has")
	}
	kb, err := strconv.Atoi(string(found[1]))
	return kb << 10, err
}
