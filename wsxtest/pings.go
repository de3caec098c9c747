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

// onPong handles a pong. A pong that is not a JSON object closes the connection
// (docs/protocol.md, "Keep-alive"). A pong that matches no ping is ignored.
func (c *session) onPong(payload string) error {
	c.srv.recorder.addFrame(c, true, websocket.PongMessage, []byte(payload))
	var pong map[string]struct {
		ID string `json:"id"`
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(payload), &object); err != nil || object == nil {
		return errClosed // ends the reader
	}
	if json.Unmarshal([]byte(payload), &pong) != nil {
		return nil //nolint:nilerr // it is an object, but matches no ping
	}
	select {
	case <-c.pongs: // discard a late pong
	default:
	}
	select {
	case c.pongs <- pong["meta"].ID:
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
