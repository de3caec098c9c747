package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout is how long a process may take until it does its work.
	startTimeout = 30 * time.Second
	// stopTimeout is how long a process may take to stop before it is killed.
	stopTimeout = 15 * time.Second
	// pollInterval is the time between two looks at something that is expected.
	pollInterval = 10 * time.Millisecond
)

// A build is a binary of zato-connect, and how it reaches the server.
type build struct {
	name, path string
	// dir has the files of its processes.
	dir                       string
	address, username, secret string
	// inputFields say how an input subscribes. It is YAML in flow style.
	inputFields string
}

// A process runs a pipeline.
type process struct {
	cmd   *exec.Cmd
	stop  context.CancelFunc
	log   *os.File
	ended chan struct{}
}

// start starts a pipeline. In its YAML, CONNECTION stands for the address and the user of the connection.
// The log goes to a file. If the output of the pipeline is stdout, its lines go to the writer.
func (b *build) start(ctx context.Context, yaml string, stdout io.Writer) (*process, error) {
	log, err := os.CreateTemp(b.dir, "log")
	if err != nil {
		return nil, err
	}
	connection := fmt.Sprintf("address: %q, username: %q, secret: %q", b.address, b.username, b.secret)
	yaml = "http: { enabled: false }\nshutdown_timeout: 10s\n" + strings.ReplaceAll(yaml, "CONNECTION", connection)
	config := log.Name() + ".yaml"
	//nolint:gosec // the path is of a new file
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, b.path, "run", config) //nolint:gosec // the user names the binary
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, stdout, log
	if stdout == nil {
		cmd.Stdout = log
	}
	p := &process{cmd: cmd, stop: stop, log: log, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		stop()
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // what is measured has to arrive in any case
	}()
	return p, nil
}

// end stops the process and waits for it.
func (p *process) end() {
	p.stop()
	<-p.ended
	_ = p.log.Close() // it is not read again
}

// explain adds the end of the log to an error.
func (p *process) explain(err error) error {
	if err == nil {
		return nil
	}
	log, _ := os.ReadFile(p.log.Name()) //nolint:gosec // the path is of a new file; without it, the error stays
	return fmt.Errorf("%w; the log of the process ends with:\n%s", err, log[max(0, len(log)-2000):])
}

// until calls a function from time to time until it reports true.
func (p *process) until(ctx context.Context, limit, interval time.Duration, done func() bool) error {
	deadline := time.After(limit)
	for !done() {
		select {
		case <-time.After(interval):
		case <-p.ended:
			return p.explain(errors.New("the process has ended"))
		case <-deadline:
			return p.explain(fmt.Errorf("nothing happened within %s", limit))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// peakMemory returns the largest resident memory that the process had, in bytes.
func (p *process) peakMemory() (int, error) {
	return memoryOf(strconv.Itoa(p.cmd.Process.Pid), "VmHWM")
}

// A feeder is a process whose pipeline gets its batches over HTTP.
type feeder struct {
	*process

	url string
}

// fedInput is the input of a feeder. Each line of a request becomes a message of a batch, and the request is answered
// when the pipeline has acknowledged the batch.
const fedInput = `
input:
  http_server: { address: %q, path: /, timeout: 10m }
  processors: [ { unarchive: { format: lines } } ]
`

// feed starts a pipeline that is fed. The YAML has no input.
func (b *build) feed(ctx context.Context, yaml string) (*feeder, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	p, err := b.start(ctx, fmt.Sprintf(fedInput, address)+yaml, nil)
	if err != nil {
		return nil, err
	}
	err = p.until(ctx, startTimeout, pollInterval, func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err == nil && conn.Close() == nil
	})
	if err != nil {
		p.end()
		return nil, err
	}
	return &feeder{p, "http://" + address + "/"}, nil
}

// post waits until the pipeline has acknowledged a batch.
func (f *feeder) post(ctx context.Context, batch []string) error {
	body := strings.NewReader(strings.Join(batch, "\n"))
	//nolint:gosec // the address is of this computer
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, body)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return f.explain(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return f.explain(err)
	}
	if response.StatusCode != http.StatusOK {
		return f.explain(fmt.Errorf("a batch was refused: %s: %s", response.Status, text))
	}
	return nil
}
