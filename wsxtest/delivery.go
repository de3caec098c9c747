package wsxtest

import (
	"encoding/json"
	"time"
)

// pushedMessage is a message in a frame, its keys in the server's order.
type pushedMessage struct {
	Data           json.RawMessage `json:"data"`
	DeliveryCount  int             `json:"delivery_count"`
	Expiration     int             `json:"expiration"`
	ExpirationTime string          `json:"expiration_time_iso"`
	ExtClientID    string          `json:"ext_client_id"`
	ExtPubTime     string          `json:"ext_pub_time_iso"`
	GroupID        *string         `json:"group_id,omitempty"`
	InReplyTo      *string         `json:"in_reply_to,omitempty"`
	MimeType       string          `json:"mime_type"`
	Position       int             `json:"position_in_group"`
	Priority       int             `json:"priority"`
	PubTime        string          `json:"pub_time_iso"`
	RecvTime       string          `json:"recv_time_iso"`
	Size           int             `json:"size"`
	SubKey         string          `json:"sub_key"`
	TopicName      string          `json:"topic_name"`
	MsgID          string          `json:"msg_id"`
	CorrelID       string          `json:"correl_id"`
}

// pushed renders a message. The publisher's mime_type, ext_client_id and
// ext_pub_time are not kept (publish-subscribe). A message that waited for its
// reader leaves out what is empty of group_id and in_reply_to (backlog-gd,
// backlog-ram).
func (d *due) pushed(subKey string) pushedMessage {
	size := len(d.data)
	if s, ok := text(d.data); ok {
		size = len(s)
	}
	m := pushedMessage{
		Data: d.data, DeliveryCount: d.deliveries,
		Expiration: int(d.expiration / time.Second), ExpirationTime: iso(d.published.Add(d.expiration)),
		ExtClientID: "zato.pubsub.pubapi.topic-service",
		MimeType: "application/json", Position: 1, Priority: d.priority,
		PubTime: iso(d.published), RecvTime: iso(d.received), Size: size,
		SubKey: subKey, TopicName: d.topic, MsgID: d.id, CorrelID: d.correlID,
	}
	if !d.waited || d.inReplyTo != "" {
		m.InReplyTo = &d.inReplyTo
	}
	if !d.waited {
		m.GroupID = new(string)
	}
	return m
}

// deliverRounds pushes what is due, in rounds.
func (s *Session) deliverRounds() {
	for s.sleep(s.server.deliveryInterval) {
		if s.deliverRound() != nil {
			return
		}
	}
}

// deliverRound pushes all that is due to this connection now. A subscription
// whose write fails keeps what it could not deliver.
func (s *Session) deliverRound() error {
	for _, sub := range s.held() {
		for {
			s.server.mu.Lock()
			frame := sub.take(s)
			s.server.mu.Unlock()
			if len(frame) == 0 {
				break
			}
			if err := s.push(sub, frame); err != nil {
				return err
			}
		}
	}
	return nil
}

// held lists the subscriptions that may have something for this connection.
func (s *Session) held() []*subscription {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	var out []*subscription
	for _, sub := range s.server.subs {
		if sub.holder == s || len(sub.assigned[s]) > 0 {
			out = append(out, sub)
		}
	}
	return out
}

// push writes one frame of messages: an object with the message's id for one, a
// list for several (durable). They count as delivered when the write succeeded.
func (s *Session) push(sub *subscription, frame []due) error {
	messages := make([]pushedMessage, len(frame))
	for i := range frame {
		frame[i].deliveries++
		messages[i] = frame[i].pushed(sub.key)
	}
	out := serverFrame{Meta: newMeta(messages[0].MsgID, typeMessages), Data: messages[0]}
	if len(messages) > 1 {
		out.Meta.ID, out.Data = newID(""), messages
	}
	if err := s.send(out); err != nil {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		sub.putBack(s, frame)
		return err
	}
	s.server.account.delivered(messages)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	sub.crossOff(frame)
	return nil
}
