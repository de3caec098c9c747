package main

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// rawReadLoop measures a loop that reads frames from a raw connection, decodes them and
// makes the same messages as the input. It runs in one goroutine and has no pipeline behind
// it.
func rawReadLoop(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		conn, err := dialRaw(ctx, s.url("/frames"))
		if err != nil {
			return nil, nil, err
		}
		pusher, err := s.awaitPushConn(ctx)
		frames := newFrameSet(l.frames, l.messages, l.data)
		return rate(frames.messages, func(_ context.Context, n int) error {
			return pushWhile(pusher, frames, n, func() error {
				for received := 0; received < n*frames.messages; {
					batch, err := conn.readBatch()
					if err != nil {
						return err
					}
					received += len(batch)
				}
				return nil
			})
		}), func() { _ = conn.Close() }, err
	}
}

// pushWhile pushes the frames n times and calls receive at the same time. It waits for both.
func pushWhile(conn *pushConn, frames *frameSet, n int, receive func() error) error {
	pushErr := make(chan error, 1)
	go func() { pushErr <- conn.push(frames, n) }()
	return errors.Join(receive(), <-pushErr)
}

// readBatch reads a frame and returns its messages as a batch.
func (c *rawConn) readBatch() (service.MessageBatch, error) {
	raw, err := c.read()
	if err != nil {
		return nil, err
	}
	frame, err := wsx.ParseFrame(bytes.Clone(raw)) // the data of the messages points into it
	if err != nil {
		return nil, err
	}
	batch := make(service.MessageBatch, len(frame.Messages))
	for i := range frame.Messages {
		batch[i] = newMessage(&frame.Messages[i])
	}
	return batch, nil
}

// newMessage makes the same message as the input.
func newMessage(m *wsx.Message) *service.Message {
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

// engineOnly measures a pipeline whose input makes the same messages from a frame in
// memory. No input can be faster.
func engineOnly(l load) opener {
	return func(ctx context.Context, _ *server) (meter, func(), error) {
		frame, err := wsx.ParseFrame(messageFrame(l.messages*l.frames, l.data))
		if err != nil {
			return nil, nil, err
		}
		pipeline, end, err := startStream(ctx, "input: { feed: {} }\noutput: { drop: {} }", frame.Messages...)
		if err != nil {
			return nil, nil, err
		}
		return pipeline.feedRate(len(frame.Messages)), end, nil
	}
}

// clientFrameRate measures how fast a client reads large frames. They are binary, so that
// the client drops them without decoding them.
func clientFrameRate(ctx context.Context, s *server) (meter, func(), error) {
	client, err := wsx.New(wsx.Config{Address: s.url("/zato/0s")})
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = client.Close() }
	if _, err = client.Subscribe(ctx, wsx.Subscription{Topic: "/bench"}); err != nil {
		end()
		return nil, nil, err
	}
	pusher, err := s.awaitPushConn(ctx)
	largeFrame, lastFrame := newBinaryFrame(), newFrameSet(1, 1, "1")
	return rate(1, func(ctx context.Context, n int) error {
		if err := errors.Join(pusher.push(largeFrame, n), pusher.push(lastFrame, 1)); err != nil {
			return err
		}
		_, err := client.Receive(ctx)
		return err
	}), end, err
}

// rawFrameRate measures how fast a raw connection reads the frames of clientFrameRate.
func rawFrameRate(ctx context.Context, s *server) (meter, func(), error) {
	conn, err := dialRaw(ctx, s.url("/frames"))
	if err != nil {
		return nil, nil, err
	}
	pusher, err := s.awaitPushConn(ctx)
	largeFrame := newBinaryFrame()
	return rate(1, func(_ context.Context, n int) error {
		return pushWhile(pusher, largeFrame, n, func() error {
			for range n {
				if _, err := conn.read(); err != nil {
					return err
				}
			}
			return nil
		})
	}), func() { _ = conn.Close() }, err
}

// newBinaryFrame returns a binary frame of the size of a frame of 500 messages of 1 KiB.
func newBinaryFrame() *frameSet {
	set := newFrameSet(1, 500, `"`+strings.Repeat("x", 1024)+`"`)
	set.data[0]++ // the opcode of binary frames is that of text frames plus one
	set.idOffsets = nil
	return set
}
