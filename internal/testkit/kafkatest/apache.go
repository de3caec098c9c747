package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// apache is Apache Kafka in KRaft mode, with broker and controller in one process.
type apache struct {
	addr, java, classPath, dir string

	process *os.Process
	ended   chan struct{}
}

// findApache returns the path of java and the class path. The error says what is
// missing.
func findApache() (java, classPath string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", "", err
	}
	jars := filepath.Join(root, "test", "kafka", "target", "jars")
	if found, err := filepath.Glob(filepath.Join(jars, "kafka_*.jar")); err != nil || len(found) == 0 {
		return "", "", errors.New("no jars in " + jars + ": run make kafka-jars")
	}
	return java, filepath.Join(jars, "*"), nil
}

// serverProperties is a server.properties file. Its arguments are the addresses of the
// broker and of the controller, and the data folder.
const serverProperties = `process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.quorum.voters=1@%[2]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`

func newApache(t *testing.T, addr, java, classPath string) *apache {
	t.Helper()
	a := &apache{addr: addr, java: java, classPath: classPath, dir: t.TempDir()}
	properties := fmt.Sprintf(serverProperties, addr, streamtest.FreeAddress(t), filepath.Join(a.dir, "data"))
	require.NoError(t, os.WriteFile(a.file("server.properties"), []byte(properties), 0o600))
	const clusterID = "MkU3OEVBNTcwNTJENDM2Qk"
	format := a.command(t.Context(), "kafka.tools.StorageTool", "format", "-t", clusterID,
		"-c", a.file("server.properties"))
	out, err := format.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		if log, err := os.ReadFile(a.file("log")); err == nil && t.Failed() {
			t.Logf("the end of the broker's log:\n%s", log[max(0, len(log)-10_000):])
		}
	})
	return a
}

func (*apache) name() string { return "Apache Kafka" }

func (a *apache) file(name string) string { return filepath.Join(a.dir, name) }

func (a *apache) command(ctx context.Context, args ...string) *exec.Cmd {
	options := []string{
		"-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dorg.slf4j.simpleLogger.logFile=System.out", "-cp", a.classPath,
	}
	return exec.CommandContext(ctx, a.java, append(options, args...)...) //nolint:gosec // java
}

func (a *apache) start(ctx context.Context) error {
	log, err := os.OpenFile(a.file("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// The process outlives the context of its start.
	cmd := a.command(context.WithoutCancel(ctx), "kafka.Kafka", a.file("server.properties"))
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The kernel sends the signal of endWithParent when the thread that started
		// the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		defer log.Close() //nolint:errcheck // only people read it
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log has the reason
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting java: %w", err)
	}
	a.process, a.ended = cmd.Process, ended
	return awaitBroker(ctx, a.addr, ended)
}

func (a *apache) stop(ctx context.Context) error {
	if a.process == nil {
		return nil
	}
	defer func() { a.process = nil }()
	if err := a.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-a.ended:
		return nil
	case <-ctx.Done():
		_ = a.process.Kill()
		<-a.ended
		return errors.New("the broker did not stop and was killed")
	}
}
