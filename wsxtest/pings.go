package wsxtest

import (
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// pingPayload is what a ping of the server carries and its pong must echo.
type pingPayload struct {
	Meta struct {
		ID        string `json:"id"`
		Timestamp string `json:"timestamp"`
		MsgType   string `json:"msg_type"`
	} `json:"meta"`
}

// keepAlive pings. A miss costs the interval and the wait for the pong; after
// too many the connection is closed with 4002 (pings, pings-missed).
func (s *Session) keepAlive() {
	missed := 0
	for s.sleep(s.channel.PingInterval) {
		answered, err := s.pingOnce()
		switch {
		case err != nil:
			return
		case answered:
			missed = 0
		default:
			missed++
		}
		if missed >= s.channel.PingsMissedThreshold {
			s.sendClose(4002, "Pings missed")
			return
		}
	}
}

// pingOnce sends a ping and waits for its pong, which lengthens the token.
func (s *Session) pingOnce() (bool, error) {
	var payload pingPayload
	payload.Meta.ID, payload.Meta.Timestamp, payload.Meta.MsgType = newID(""), iso(time.Now()), typeRequest
	raw, err := json.Marshal(payload)
	if err != nil {
		return false, err
	}
	ponged := make(chan struct{})
	s.mu.Lock()
	s.pinged, s.ponged = string(raw), ponged
	s.mu.Unlock()
	if err := s.write(func() error { return s.conn.WriteMessage(websocket.PingMessage, raw) }); err != nil {
		return false, err
	}
	timer := time.NewTimer(s.channel.PongWait)
	defer timer.Stop()
	select {
	case <-ponged:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-s.done:
		return false, errGone
	}
}

// ping answers a client's ping. Like everything it waits for the service that
// runs (one-at-a-time).
func (s *Session) ping(payload string) error {
	return s.write(func() error { return s.conn.WriteMessage(websocket.PongMessage, []byte(payload)) })
}

// pong takes the answer to a ping. One that is empty or no JSON object costs
// the client its connection.
func (s *Session) pong(payload string) error {
	var obj map[string]json.RawMessage
	if json.Unmarshal([]byte(payload), &obj) != nil || obj == nil {
		return errGone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ponged != nil && payload == s.pinged {
		close(s.ponged)
		s.ponged = nil
		s.login.expires = s.login.expires.Add(s.channel.PingInterval)
	}
	return nil
}
