package wsxtest

import (
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// pingLoop sends pings and waits for each pong. After PingsMissedThreshold pings
// without a pong it closes the connection. The ping after a missed one comes an
// interval after the end of the wait (transcripts pings, pings-missed and
// slow-service-drops-connection).
func (c *session) pingLoop() {
	missed := 0
	for c.sleep(c.channel.PingInterval) {
		answered, err := c.ping()
		switch {
		case err != nil:
			return
		case answered:
			missed = 0
			c.extendToken()
			continue
		}
		if missed++; missed >= c.channel.PingsMissedThreshold {
			c.sendClose(4002, "Pings missed")
			return
		}
	}
}

// ping sends a ping and reports whether its pong came in time.
func (c *session) ping() (bool, error) {
	id := newID()
	payload, err := json.Marshal(map[string]serverMeta{"meta": newMeta(id, typeRequest)})
	if err != nil {
		return false, err
	}
	if err := c.write(websocket.PingMessage, payload); err != nil {
		return false, err
	}
	timer := time.NewTimer(c.channel.PongWait)
	defer timer.Stop()
	for {
		select {
		case answered := <-c.pongs:
			if answered == id {
				return true, nil
			}
		case <-timer.C:
			return false, nil
		case <-c.closed:
			return false, errClosed
		}
	}
}

// onPong handles a pong. A pong without an id in its meta closes the connection, and one
// with an unknown id is ignored (docs/protocol.md, "Keep-alive").
func (c *session) onPong(payload string) error {
	c.srv.recorder.addFrame(c, true, websocket.PongMessage, []byte(payload))
	var pong map[string]map[string]json.RawMessage
	var id *string
	if json.Unmarshal([]byte(payload), &pong) != nil || json.Unmarshal(pong["meta"]["id"], &id) != nil {
		return errClosed // ends the reader
	}
	if id == nil {
		return nil
	}
	select {
	case <-c.pongs: // discard a late pong
	default:
	}
	select {
	case c.pongs <- *id:
	default:
	}
	return nil
}

// onPing answers a ping of the client with a pong.
func (c *session) onPing(payload string) error {
	c.srv.recorder.addFrame(c, true, websocket.PingMessage, []byte(payload))
	if c.inState(stateDead) {
		return nil
	}
	_ = c.write(websocket.PongMessage, []byte(payload)) // the reader notices a closed connection
	return nil
}
