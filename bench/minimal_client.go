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

// minimal is the least that a client of several connections does: a call takes one that is
// free and writes a frame with an id and the time, the goroutine that reads finds the id in
// the answer and wakes the caller. It checks nothing, counts nothing and waits for ever.
type minimal struct {
	free chan *minimalConn
	ids  atomic.Uint64
}

type minimalConn struct {
	*rawConn

	frame   []byte
	mu      sync.Mutex // guards waiting
	waiting map[string]chan []byte
}

func dialMinimal(ctx context.Context, url string, connections int) (*minimal, func(), error) {
	conns, end, err := dialMany(ctx, url, connections)
	l := &minimal{free: make(chan *minimalConn, connections)}
	for _, raw := range conns {
		c := &minimalConn{rawConn: raw, waiting: map[string]chan []byte{}}
		l.free <- c
		go c.readAll()
	}
	return l, end, err
}

// readAll hands answers over until the connection ends.
func (c *minimalConn) readAll() {
	for {
		frame, err := c.read()
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(frame, []byte(`"in_reply_to": "`))
		id, data, _ := bytes.Cut(rest, []byte{'"'})
		c.mu.Lock()
		answer := c.waiting[string(id)]
		delete(c.waiting, string(id))
		c.mu.Unlock()
		answer <- bytes.Clone(data)
	}
}

func (l *minimal) call() ([]byte, error) {
	c := <-l.free
	defer func() { l.free <- c }()
	id := "zwsxc.inv.0123456789" + strconv.FormatUint(l.ids.Add(1), 16)
	answer := make(chan []byte, 1)
	c.mu.Lock()
	c.waiting[id] = answer
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

// minimalCallers opens callers that share connections.
func minimalCallers(n int, url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) {
		l, end, err := dialMinimal(ctx, url(s), n)
		if err != nil {
			return nil, nil, err
		}
		return slices.Repeat([]caller{func(context.Context) error {
			_, err := l.call()
			return err
		}}, n), end, nil
	}
}

// ProcessBatch makes a call for each message, as many at once as there are connections.
func (l *minimal) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	var all sync.WaitGroup
	var next atomic.Int64
	for range cap(l.free) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batch)); i = next.Add(1) - 1 {
				answer, err := l.call()
				if err != nil {
					batch[i].SetError(err)
					continue
				}
				batch[i].SetBytes(answer)
			}
		})
	}
	all.Wait()
	return []service.MessageBatch{batch}, nil
}

// Connect, Write and Close are for an output.
func (*minimal) Connect(context.Context) error { return nil }

func (l *minimal) Write(context.Context, *service.Message) error {
	_, err := l.call()
	return err
}

func (*minimal) Close(context.Context) error { return nil }

// fedMinimal measures a pipeline with the least processor, or the least output.
func fedMinimal(yaml string, size int, takes string) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		l, hangUp, err := dialMinimal(ctx, local(takes)(s), many)
		if err != nil {
			return nil, nil, err
		}
		env := service.NewEnvironment()
		err = errors.Join(
			env.RegisterBatchProcessor("least", service.NewConfigSpec(),
				func(*service.ParsedConfig, *service.Resources) (service.BatchProcessor, error) { return l, nil }),
			env.RegisterOutput("least", service.NewConfigSpec(),
				func(*service.ParsedConfig, *service.Resources) (service.Output, int, error) { return l, many, nil }),
		)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		pipeline, end, err := startStreamIn(ctx, env, yaml)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		return pipeline.fed(size), func() { end(); hangUp() }, nil
	}
}

const (
	minimalOutputYAML = `
input: { feed: {} }
output: { least: {} }
`
	minimalProcessorYAML = `
input: { feed: {} }
pipeline: { processors: [ { least: {} } ] }
output: { drop: {} }
`
)
