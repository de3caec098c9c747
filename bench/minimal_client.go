package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// minimalClient does the least that a client with several connections must do. A call takes
// a free connection and writes a frame with an id and the time. The goroutine that reads
// finds the id in the answer and wakes the caller. There are no checks, no metrics and no
// time-outs.
type minimalClient struct {
	free chan *minimalConn
	ids  atomic.Uint64
}

type minimalConn struct {
	*rawConn

	frame   []byte
	mu      sync.Mutex // guards pending
	pending map[string]chan []byte
}

func dialMinimal(ctx context.Context, url string, connections int) (*minimalClient, func(), error) {
	conns, end, err := dialMany(ctx, url, connections)
	m := &minimalClient{free: make(chan *minimalConn, connections)}
	for _, conn := range conns {
		mc := &minimalConn{rawConn: conn, pending: map[string]chan []byte{}}
		m.free <- mc
		go mc.readLoop()
	}
	return m, end, err
}

// readLoop passes answers to their callers until the connection ends.
func (c *minimalConn) readLoop() {
	for {
		frame, err := c.read()
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(frame, []byte(`"in_reply_to": "`))
		id, response, _ := bytes.Cut(rest, []byte{'"'})
		c.mu.Lock()
		answer := c.pending[string(id)]
		delete(c.pending, string(id))
		c.mu.Unlock()
		answer <- bytes.Clone(response)
	}
}

func (m *minimalClient) call() ([]byte, error) {
	c := <-m.free
	defer func() { m.free <- c }()
	id := "zwsxc.inv.0123456789" + strconv.FormatUint(m.ids.Add(1), 16)
	answer := make(chan []byte, 1)
	c.mu.Lock()
	c.pending[id] = answer
	c.mu.Unlock()
	c.frame = append(append(c.frame[:0], `{"meta":{"action":"invoke-service","id":"`...), id...)
	c.frame = time.Now().UTC().AppendFormat(append(c.frame, `","timestamp":"`...), "2006-01-02T15:04:05.000000")
	c.frame = append(append(c.frame, `","token":"zwsxt.1"},"data":{"service":"bench","request":`...), requestData...)
	c.frame = append(c.frame, "}}"...)
	if err := c.WriteMessage(websocket.TextMessage, c.frame); err != nil {
		return nil, err
	}
	return <-answer, nil
}

// minimalCallers opens n callers that share a minimal client with n connections.
func minimalCallers(n int, url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) {
		m, end, err := dialMinimal(ctx, url(s), n)
		if err != nil {
			return nil, nil, err
		}
		return slices.Repeat([]caller{func(context.Context) error {
			_, err := m.call()
			return err
		}}, n), end, nil
	}
}

// ProcessBatch makes a call for each message, at most one per connection at a time.
func (m *minimalClient) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range cap(m.free) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batch)); i = next.Add(1) - 1 {
				answer, err := m.call()
				if err != nil {
					batch[i].SetError(err)
					continue
				}
				batch[i].SetBytes(answer)
			}
		})
	}
	wg.Wait()
	return []service.MessageBatch{batch}, nil
}

// Connect does nothing: the connections are already open.
func (*minimalClient) Connect(context.Context) error { return nil }

func (m *minimalClient) Write(context.Context, *service.Message) error {
	_, err := m.call()
	return err
}

func (*minimalClient) Close(context.Context) error { return nil }

// minimalPipelineRate is pipelineRate for a pipeline with the minimal client as processor
// or output.
func minimalPipelineRate(yaml string, batchSize int, serviceTime string) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		client, closeClient, err := dialMinimal(ctx, localAddress(serviceTime)(s), callConnections)
		if err != nil {
			return nil, nil, err
		}
		env := service.NewEnvironment()
		err = errors.Join(
			env.RegisterBatchProcessor("minimal", service.NewConfigSpec(),
				func(*service.ParsedConfig, *service.Resources) (service.BatchProcessor, error) { return client, nil }),
			env.RegisterOutput("minimal", service.NewConfigSpec(),
				func(*service.ParsedConfig, *service.Resources) (service.Output, int, error) {
					return client, callConnections, nil
				}),
		)
		if err != nil {
			closeClient()
			return nil, nil, err
		}
		pipeline, end, err := startStreamIn(ctx, env, yaml)
		if err != nil {
			closeClient()
			return nil, nil, err
		}
		return pipeline.feedRate(batchSize), func() { end(); closeClient() }, nil
	}
}

const (
	minimalOutputYAML = `
input: { feed: {} }
output: { minimal: {} }
`
	minimalProcessorYAML = `
input: { feed: {} }
pipeline: { processors: [ { minimal: {} } ] }
output: { drop: {} }
`
)
