package main

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// rawReader is a loop that reads, splits and makes the same messages as the input, in one
// goroutine and with nothing behind it.
func rawReader(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		conn, err := dialRaw(ctx, s.url("/frames"))
		if err != nil {
			return nil, nil, err
		}
		to, err := s.awaitReader(ctx)
		b := newFrameSet(l.frames, l.number, l.data)
		return rate(b.messages, func(_ context.Context, n int) error {
			return pushing(to, b, n, func() error {
				for got := 0; got < n*b.messages; {
					batch, err := conn.batch()
					if err != nil {
						return err
					}
					got += len(batch)
				}
				return nil
			})
		}), func() { _ = conn.Close() }, err
	}
}

// pushing pushes while messages are taken.
func pushing(to *reader, b *frameSet, times int, take func() error) error {
	pushed := make(chan error, 1)
	go func() { pushed <- to.push(b, times) }()
	return errors.Join(take(), <-pushed)
}

// batch reads a frame as a batch.
func (c *rawConn) batch() (service.MessageBatch, error) {
	raw, err := c.read()
	if err != nil {
		return nil, err
	}
	frame, err := wsx.ParseFrame(bytes.Clone(raw)) // the messages keep it
	if err != nil {
		return nil, err
	}
	batch := make(service.MessageBatch, len(frame.Messages))
	for i := range frame.Messages {
		batch[i] = message(&frame.Messages[i])
	}
	return batch, nil
}

// message makes the message that the input makes.
func message(m *wsx.Message) *service.Message {
	out := service.NewMessage(m.Data)
	out.MetaSetMut("zato_topic", m.Topic)
	out.MetaSetMut("zato_msg_id", m.MsgID)
	out.MetaSetMut("zato_correl_id", m.CorrelID)
	out.MetaSetMut("zato_priority", int64(m.Priority))
	out.MetaSetMut("zato_mime_type", m.MimeType)
	out.MetaSetMut("zato_pub_time", m.PubTime)
	out.MetaSetMut("zato_delivery_count", int64(m.DeliveryCount))
	return out
}

// engineLimit is a pipeline whose input makes the same messages of what is in memory: no
// input can be faster.
func engineLimit(l load) opener {
	return func(ctx context.Context, _ *server) (meter, func(), error) {
		frame, err := wsx.ParseFrame(frameOf(l.number*l.frames, l.data))
		if err != nil {
			return nil, nil, err
		}
		pipeline, end, err := startStream(ctx, "input: { feed: {} }\noutput: { drop: {} }", frame.Messages...)
		if err != nil {
			return nil, nil, err
		}
		return pipeline.fed(len(frame.Messages)), end, nil
	}
}

// readClient measures how fast a client reads frames that it then drops, for they are
// binary. What it does with others is left out so.
func readClient(ctx context.Context, s *server) (meter, func(), error) {
	client, err := wsx.New(wsx.Config{Address: s.url("/zato/0s")})
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = client.Close() }
	if _, err = client.Subscribe(ctx, wsx.Subscription{Topic: "/bench"}); err != nil {
		end()
		return nil, nil, err
	}
	to, err := s.awaitReader(ctx)
	large, last := newBinary(), newFrameSet(1, 1, "1")
	return rate(1, func(ctx context.Context, n int) error {
		if err := errors.Join(to.push(large, n), to.push(last, 1)); err != nil {
			return err
		}
		_, err := client.Receive(ctx)
		return err
	}), end, err
}

// readRaw is the same with a bare connection.
func readRaw(ctx context.Context, s *server) (meter, func(), error) {
	conn, err := dialRaw(ctx, s.url("/frames"))
	if err != nil {
		return nil, nil, err
	}
	to, err := s.awaitReader(ctx)
	large := newBinary()
	return rate(1, func(_ context.Context, n int) error {
		return pushing(to, large, n, func() error {
			for range n {
				if _, err := conn.read(); err != nil {
					return err
				}
			}
			return nil
		})
	}), func() { _ = conn.Close() }, err
}

// newBinary is a binary frame as large as a list of 500 messages of 1 KiB.
func newBinary() *frameSet {
	b := newFrameSet(1, 500, `"`+strings.Repeat("x", 1024)+`"`)
	b.bytes[0]++ // the opcode of binary frames is one more than that of texts
	b.ids = nil
	return b
}
