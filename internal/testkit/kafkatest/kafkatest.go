// Package kafkatest runs a Kafka broker for tests. It runs Apache Kafka if Java and
// the jars of test/kafka are installed. Otherwise it runs kfake, which implements the
// same protocol.
package kafkatest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// Timeout limits how long a broker may take to start or to stop.
const Timeout = time.Minute

// EnvVariable is the name of the environment variable that selects the broker. With
// "apache", tests fail if Apache Kafka is not installed. With "kfake", it is not
// used.
const EnvVariable = "KAFKATEST"

// Broker is a running broker.
type Broker struct {
	// Addr is the address of the broker. A restart does not change it.
	Addr string

	t      *testing.T
	server server
}

// server is a broker that can be stopped and started again. It keeps its data.
type server interface {
	name() string
	start(ctx context.Context) error
	stop(ctx context.Context) error
}

// Start starts a broker and logs which one it is. The broker is stopped when the test
// ends.
func Start(t *testing.T) *Broker {
	t.Helper()
	b := &Broker{Addr: streamtest.FreeAddress(t), t: t}
	java, jars, err := findApache()
	choice := os.Getenv(EnvVariable)
	switch {
	case choice == "kfake":
		b.server = newFake(t, b.Addr)
	case err == nil:
		b.server = newApache(t, b.Addr, java, jars)
	default:
		require.NotEqual(t, "apache", choice, "there is no Apache Kafka to run: %v", err)
		t.Logf("no Apache Kafka: %v", err)
		b.server = newFake(t, b.Addr)
	}
	t.Logf("the broker is %s", b.server.name())
	b.Restart()
	t.Cleanup(b.Stop)
	return b
}

// Stop stops the broker. It keeps its data.
func (b *Broker) Stop() {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	require.NoError(b.t, b.server.stop(ctx))
}

// Restart starts a stopped broker and waits until it responds.
func (b *Broker) Restart() {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	defer cancel()
	require.NoError(b.t, b.server.start(ctx))
}

// withTimeout returns a context with the timeout. It is not derived from the test's
// context, which is canceled before the cleanup functions run.
func (b *Broker) withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(b.t.Context()), Timeout)
}

// Client returns a client of the broker. It is closed when the test ends.
func (b *Broker) Client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr))...)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client
}

// Produce writes records with a client and waits until the broker has acknowledged them.
func Produce(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	require.NoError(t, client.ProduceSync(ctx, records...).FirstErr())
}

// CreateTopics creates topics, each with the given number of partitions.
func (b *Broker) CreateTopics(partitions int32, topics ...string) {
	b.t.Helper()
	ctx, admin, end := b.admin()
	defer end()
	created, err := admin.CreateTopics(ctx, partitions, 1, nil, topics...)
	require.NoError(b.t, err)
	require.NoError(b.t, created.Error())
}

// Committed returns the sum of the offsets that a group has committed in a topic.
func (b *Broker) Committed(group, topic string) int64 {
	b.t.Helper()
	ctx, admin, end := b.admin()
	defer end()
	offsets, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0 // the group does not exist yet
	}
	var sum int64
	for _, o := range offsets[topic] {
		sum += o.At
	}
	return sum
}

// Shares returns how many partitions each member of a group has, the largest number first.
func (b *Broker) Shares(group string) []int {
	b.t.Helper()
	ctx, admin, end := b.admin()
	defer end()
	described, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return nil // the group does not exist yet
	}
	var shares []int
	for _, member := range described[group].Members {
		partitions := 0
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				partitions += len(topic.Partitions)
			}
		}
		shares = append(shares, partitions)
	}
	slices.Sort(shares)
	slices.Reverse(shares)
	return shares
}

// admin returns a client for one request, and the context of the request.
func (b *Broker) admin() (ctx context.Context, admin *kadm.Client, end func()) {
	b.t.Helper()
	ctx, cancel := b.withTimeout()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	require.NoError(b.t, err)
	return ctx, kadm.NewClient(client), func() {
		client.Close()
		cancel()
	}
}

// awaitBroker waits until a broker responds. It returns an error if ended is closed or
// the context is done first.
func awaitBroker(ctx context.Context, addr string, ended <-chan struct{}) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("the broker ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the broker does not respond: %w", err)
		}
	}
}

// moduleRoot returns the folder of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

func port(addr string) (int, error) {
	_, number, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(number)
}
