package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

const groupZato = "zato"

// zatoOptions are the flags of the figures that are measured on a Zato server.
type zatoOptions struct {
	address, topic string
	// The baseline is another binary.
	baseline, baselineAddress, baselineInput string
	backlog, singles, records                int
}

func (o *zatoOptions) register(flags *flag.FlagSet) {
	flags.StringVar(&o.address, "zato", "",
		"address of a channel of a Zato server on connect.gateway, to measure this build on it; ZATO_WSX_USERNAME and "+
			"ZATO_WSX_SECRET are the user of its channels")
	flags.StringVar(&o.topic, "zato-topic", "/my/bench",
		"topic with guaranteed delivery on it; nobody may subscribe to the topic of this name with .quiet behind it")
	flags.StringVar(&o.baseline, "baseline", "", "another zato-connect binary, to compare with it on the Zato server")
	flags.StringVar(&o.baselineAddress, "baseline-zato", "",
		"address of the baseline's channel, if it is another one; it may be on a server of its own, which needs "+
			"connect.publish and the topics")
	flags.StringVar(&o.baselineInput, "baseline-input", "subscription: bench",
		"how the input of the baseline subscribes, as in \"cache: keys\"")
	flags.IntVar(&o.backlog, "backlog", 20_000, "number of messages of the backlog on the Zato server")
	flags.IntVar(&o.singles, "singles", 20, "number of single messages in a round, to measure how long they take to "+
		"their subscriber on the Zato server")
	flags.IntVar(&o.records, "records", 3_000, "number of records from Kafka to the Zato server")
}

// A zatoServer is a Zato server and what is measured on it.
type zatoServer struct {
	*zatoOptions

	username, secret string
	dir              string
	ours, baseline   *build // there may be no baseline
	clients          []*script
}

// openZato builds the binary to measure. close removes it.
func openZato(ctx context.Context, o *options) (*zatoServer, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	z := &zatoServer{
		zatoOptions: &o.zato, dir: dir,
		username: os.Getenv("ZATO_WSX_USERNAME"), secret: os.Getenv("ZATO_WSX_SECRET"),
	}
	path := filepath.Join(dir, "zato-connect")
	if z.ours, err = z.build("ours", path, o.zato.address, "subscription: bench"); err == nil {
		//nolint:gosec // the path is of a new folder
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/zato-connect/zato-connect")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err == nil && o.zato.baseline != "" {
		z.baseline, err = z.build("the baseline", o.zato.baseline, o.zato.baselineAddress, o.zato.baselineInput)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, c := range []*script{officialJavaScript(o), officialPython(o)} {
		if err := c.installed(ctx); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "not measured:", err)
			continue
		}
		z.clients = append(z.clients, c)
	}
	return z, nil
}

// build describes a binary. Its files are in a folder of its own.
func (z *zatoServer) build(name, path, address, inputFields string) (*build, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	b := &build{
		name: name, path: path, dir: filepath.Join(z.dir, name), username: z.username, secret: z.secret,
		address: address, inputFields: inputFields,
	}
	if address == "" {
		b.address = z.address
	}
	return b, os.MkdirAll(filepath.Join(b.dir, keysFolder), 0o700)
}

func (z *zatoServer) close() {
	_ = os.RemoveAll(z.dir) //nolint:gosec // a new folder, among those for temporary files
}

// builds returns ours and the baseline, if there is one.
func (z *zatoServer) builds() []*build {
	if z.baseline == nil {
		return []*build{z.ours}
	}
	return []*build{z.ours, z.baseline}
}

// dial opens a client for what is measured around a binary, on the same channel.
func (b *build) dial(ctx context.Context) (*wsx.Client, error) {
	client, err := wsx.New(wsx.Config{
		Address: b.address, Username: b.username, Secret: wsx.Secret(b.secret), ClientName: "bench",
	})
	if err != nil {
		return nil, err
	}
	if err := client.AwaitReady(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// quietTopic returns the topic that nobody subscribes to.
func (z *zatoServer) quietTopic() string { return z.topic + ".quiet" }

// A reading turns the latencies of calls and the time they took together into quantities.
type reading func(latencies []time.Duration, elapsed time.Duration) []float64

// perSecond reads a rate of calls that count as perCall each.
func perSecond(perCall int) reading {
	return func(latencies []time.Duration, elapsed time.Duration) []float64 {
		return []float64{float64(perCall*len(latencies)) / elapsed.Seconds()}
	}
}

// quantiles reads quantiles of the latencies.
func quantiles(wanted ...float64) reading {
	return func(latencies []time.Duration, _ time.Duration) []float64 {
		slices.Sort(latencies)
		out := make([]float64, len(wanted))
		for i, q := range wanted {
			out[i] = float64(latencies[int(q*float64(len(latencies)-1))])
		}
		return out
	}
}

// comparisons returns what is measured on a Zato server.
func (z *zatoServer) comparisons() []comparison {
	return slices.Concat(z.publishComparisons(), z.invokeComparisons(), z.receiveComparisons(), z.kafkaComparisons())
}

// sides returns a side for each binary.
func (z *zatoServer) sides(measure func(*build) measurement) []side {
	var out []side
	for _, b := range z.builds() {
		out = append(out, side{name: b.name, judged: true, measure: measure(b)})
	}
	return out
}

// clientSides returns a side for each client in another language, which calls a service, one call after the other.
// For a rate, each call counts as one.
func (z *zatoServer) clientSides(service, request string, read reading) []side {
	var out []side
	for _, c := range z.clients {
		out = append(out, side{name: c.name, measure: func(ctx context.Context, duration time.Duration) ([]float64, error) {
			numbers, err := c.numbers(ctx, z.address, duration, z.username, z.secret, service, request)
			if err != nil {
				return nil, err
			}
			var latencies []time.Duration
			var elapsed time.Duration
			for _, n := range numbers {
				latencies = append(latencies, time.Duration(n))
				elapsed += time.Duration(n)
			}
			return read(latencies, elapsed), nil
		}})
	}
	return out
}

// rateOf and latencyOf are quantities that must not be worse than those of the baseline.
func rateOf(noun string) quantity { return quantity{unit: unit{noun + "/s", 1}, goal: atLeast(0.97)} }

func latencyOf(name string) quantity {
	return quantity{name: name, unit: unit{"ms", float64(time.Millisecond)}, goal: atMost(1.05)}
}

// none is a quantity that has to be zero, such as ": lost".
func none(name string) quantity {
	return quantity{name: name, unit: unit{"messages", 1}, goal: atMost(0), isCount: true}
}
