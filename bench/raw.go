package main

import (
	"bytes"
	"context"

	"github.com/gorilla/websocket"
)

// requestData is the request of every call. requestFrame is the frame that a rawConn sends.
const (
	requestData  = `{"number":1,"text":"some text of a request"}`
	requestFrame = `{"meta":{"action":"invoke-service","id":"zwsxc.inv.0123456789abcdef1",` +
		`"timestamp":"2026-01-01T10:11:12.123456","client_id":"bench","client_name":"bench","token":"zwsxt.1"},` +
		`"data":{"service":"bench","request":` + requestData + `}}`
)

// A rawConn is a WebSocket connection without a client. It writes the same frame for every
// call and reads any frame.
type rawConn struct {
	*websocket.Conn

	buffer bytes.Buffer
}

func dialRaw(ctx context.Context, url string) (*rawConn, error) {
	conn, resp, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	return &rawConn{Conn: conn}, resp.Body.Close()
}

// read reads a frame into a buffer. The next read overwrites it.
func (c *rawConn) read() ([]byte, error) {
	_, r, err := c.NextReader()
	if err != nil {
		return nil, err
	}
	c.buffer.Reset()
	_, err = c.buffer.ReadFrom(r)
	return c.buffer.Bytes(), err
}

func (c *rawConn) call(context.Context) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(requestFrame)); err != nil {
		return err
	}
	_, err := c.read()
	return err
}

// dialMany opens n raw connections. The returned function closes them.
func dialMany(ctx context.Context, url string, n int) (conns []*rawConn, end func(), err error) {
	end = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	for range n {
		c, err := dialRaw(ctx, url)
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, c)
	}
	return conns, end, nil
}

// rawCallers opens n raw connections and returns a caller for each.
func rawCallers(ctx context.Context, url string, n int) (callers []caller, end func(), err error) {
	conns, end, err := dialMany(ctx, url, n)
	for _, c := range conns {
		callers = append(callers, c.call)
	}
	return callers, end, err
}
