package kafkatest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// fake is kfake, a broker that runs in this process.
type fake struct {
	port    int
	dir     string
	cluster *kfake.Cluster
}

func newFake(t *testing.T, addr string) *fake {
	t.Helper()
	number, err := port(addr)
	require.NoError(t, err)
	return &fake{port: number, dir: t.TempDir()}
}

func (*fake) name() string { return "kfake" }

func (f *fake) start(ctx context.Context) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(f.port), kfake.DataDir(f.dir))
	if err != nil {
		return fmt.Errorf("starting kfake: %w", err)
	}
	f.cluster = cluster
	return awaitBroker(ctx, cluster.ListenAddrs()[0], nil)
}

func (f *fake) stop(context.Context) error {
	if f.cluster != nil {
		f.cluster.Close()
		f.cluster = nil
	}
	return nil
}
