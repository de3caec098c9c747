package zato4test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// gatewayRequest is a request to any service of the gateway.
type gatewayRequest struct {
	TopicName   string           `json:"topic_name"`
	Messages    []gatewayMessage `json:"messages"`
	MaxMessages *int             `json:"max_messages"`
	Wait        int              `json:"wait"`
	Lease       *int             `json:"lease"`
	SequenceIDs []int            `json:"sequence_ids"`
}

type gatewayMessage struct {
	Data        any    `json:"data"`
	Priority    *int   `json:"priority"`
	Expiration  *int   `json:"expiration"`
	CorrelID    string `json:"correl_id"`
	InReplyTo   string `json:"in_reply_to"`
	ExtClientID string `json:"ext_client_id"`
}

// serveGateway serves a service of zato/zato4/topic_gateway.py.
func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request, username, cid string, body []byte) {
	refuse := func(status int, format string, args ...any) {
		respond(w, status, map[string]any{"is_ok": false, "details": fmt.Sprintf(format, args...)})
	}
	var request gatewayRequest
	if err := json.Unmarshal(body, &request); err != nil {
		refuse(http.StatusBadRequest, "the body must be a JSON object")
		return
	}
	if r.URL.Path == "/gateway/publish" {
		s.gatewayPublish(w, refuse, username, cid, &request)
		return
	}
	s.mu.Lock()
	sub := s.subscriptions[username]
	s.mu.Unlock()
	if sub == nil {
		refuse(http.StatusForbidden, "%s has no subscription", username)
		return
	}
	switch r.URL.Path {
	case "/gateway/pull":
		s.gatewayPull(w, r, sub, &request)
	case "/gateway/acknowledge":
		s.mu.Lock()
		defer s.mu.Unlock()
		sub.acknowledge(request.SequenceIDs...)
		respond(w, http.StatusOK, map[string]any{"is_ok": true, "acknowledged": len(request.SequenceIDs)})
	case "/gateway/give-back":
		s.mu.Lock()
		defer s.mu.Unlock()
		sub.release(request.SequenceIDs...)
		respond(w, http.StatusOK, map[string]any{"is_ok": true, "given_back": len(request.SequenceIDs)})
	}
}

func (s *Server) gatewayPublish(
	w http.ResponseWriter, refuse func(int, string, ...any), username, cid string, request *gatewayRequest,
) {
	if !s.users[username].mayPublish(request.TopicName) {
		refuse(http.StatusForbidden, "%s may not publish to %s", username, request.TopicName)
		return
	}
	if !s.isActive(request.TopicName) {
		refuse(http.StatusForbidden, "topic %s does not exist or is not active", request.TopicName)
		return
	}
	for i, m := range request.Messages {
		if _, isText := m.Data.(string); !isText {
			refuse(http.StatusBadRequest, "message %d: data: must be text", i)
			return
		}
	}
	ids := []string{}
	for _, m := range request.Messages {
		data, _ := m.Data.(string)
		ids = append(ids, s.publish(&Message{
			Topic: request.TopicName, Data: data, Publisher: username, CorrelID: m.CorrelID,
			InReplyTo: m.InReplyTo, ExtClientID: m.ExtClientID,
			Priority: orDefault(m.Priority, defaultPriority), Expiration: orDefault(m.Expiration, defaultExpiration),
		}, cid))
	}
	respond(w, http.StatusOK, map[string]any{"is_ok": true, "msg_ids": ids})
}

func (s *Server) gatewayPull(w http.ResponseWriter, r *http.Request, sub *subscription, request *gatewayRequest) {
	deadline := time.After(time.Duration(request.Wait) * time.Second)
	for r.Context().Err() == nil {
		s.mu.Lock()
		found, wake := sub.take(orDefault(request.MaxMessages, 100)), sub.wake
		for _, m := range found {
			sub.leases[m.sequenceID] = time.Now().Add(time.Duration(orDefault(request.Lease, 60)) * time.Second)
		}
		s.mu.Unlock()
		expired := request.Wait == 0
		if len(found) == 0 && !expired {
			select {
			case <-wake:
				continue
			case <-time.After(time.Second): // a lease may have ended
				continue
			case <-deadline:
			case <-r.Context().Done():
				return
			}
		}
		messages := []map[string]any{}
		for _, m := range found {
			fields := m.fields()
			delete(fields, "expiration")
			delete(fields, "recv_time_iso")
			fields["data"], fields["sequence_id"], fields["publisher"] = m.Data, m.sequenceID, m.Publisher
			messages = append(messages, fields)
		}
		respond(w, http.StatusOK, map[string]any{"is_ok": true, "messages": messages})
		return
	}
}

func orDefault(value *int, fallback int) int {
	if value == nil {
		return fallback
	}
	return *value
}
