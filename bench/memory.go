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

// childEnv is the environment variable that makes the program a child process. The child
// opens connections of the kind that is the value of childEnv, and prints the memory of
// each.
const childEnv = "BENCH_CHILD"

const (
	childConnections   = 5000
	childCalls         = "calls"
	childSubscriptions = "subscriptions"
)

func memoryFigures() []figure {
	kb := unit{"KB", 1000}
	return []figure{
		{
			group: groupMemory, name: "an idle call connection (of 5000)", unit: kb, goal: atMost(20_000),
			ours: residentMemory(childCalls),
		},
		{
			group: groupMemory, name: "an idle subscription connection (of 5000)", unit: kb, goal: atMost(24_000),
			ours: residentMemory(childSubscriptions),
		},
	}
}

// residentMemory measures the resident memory per connection, in a child process.
func residentMemory(kind string) opener {
	return func(_ context.Context, s *server) (meter, func(), error) {
		return func(ctx context.Context, duration time.Duration) (float64, error) {
			if duration == warmUpTime {
				return 0, nil // a new process cannot be warmed up
			}
			ctx, done := context.WithCancel(ctx)
			defer done()
			go s.discardPushConns(ctx)
			child := exec.CommandContext(ctx, os.Args[0], s.url("/zato/0s")) //nolint:gosec // runs this program
			child.Env = append(os.Environ(), childEnv+"="+kind)
			printed, err := numbersFrom(child)
			if err != nil {
				return 0, err
			}
			return printed[0], nil
		}, func() {}, nil
	}
}

// discardPushConns receives from s.pushConns until ctx is done, so that clients can
// subscribe.
func (s *server) discardPushConns(ctx context.Context) {
	for {
		select {
		case <-s.pushConns:
		case <-ctx.Done():
			return
		}
	}
}

// runChild is the main function of the child process.
func runChild(ctx context.Context, args []string) error {
	before, err := residentBytes()
	if err != nil {
		return err
	}
	kind := os.Getenv(childEnv)
	conf := wsx.Config{Address: args[0]}
	clients, end, err := openClients(ctx, conf, childConnections)
	if err != nil {
		return err
	}
	defer end()
	if kind == childSubscriptions {
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

// openClients opens n clients, 64 at a time, and waits until they are ready. The returned
// function closes them.
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
		_ = closing.Wait() // Close of a client never fails
	}
	if err := opening.Wait(); err != nil {
		end()
		return nil, nil, err
	}
	return clients, end, nil
}

// residentBytes returns the resident memory of the process, after a garbage collection that
// returns unused memory to the system.
func residentBytes() (int, error) {
	debug.FreeOSMemory()
	return memoryOf("self", "VmRSS")
}

// memoryOf returns a value of a process, in bytes. The process is a number or self, and the
// value one of those in /proc/PID/status.
func memoryOf(process, value string) (int, error) {
	path := "/proc/" + process + "/status"
	status, err := os.ReadFile(path) //nolint:gosec // a process of this program
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(value + `:\s*(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0, errors.New(path + " has no " + value)
	}
	kib, err := strconv.Atoi(string(found[1]))
	return kib << 10, err
}
