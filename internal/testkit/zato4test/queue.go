package zato4test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Message is a message that was published.
type Message struct {
	Topic       string
	Data        string // as it was published, or the JSON of what is not text
	Priority    int
	Expiration  int // in seconds
	Publisher   string
	CorrelID    string
	InReplyTo   string
	ExtClientID string

	msgID, cid        string
	sequenceID        int
	pubTime, recvTime string
	expires           time.Time
}

// subscription is the queue of a user.
type subscription struct {
	key    string
	pushTo string
	topics []string
	queue  []*Message // by priority, then by time
	leases map[int]time.Time
	wake   chan struct{} // closed and replaced when the queue or the leases change
}

// Subscribe subscribes a user to topics, whose messages the user pulls.
func (s *Server) Subscribe(username string, topics ...string) {
	s.subscribe(username, "", topics)
}

// subscribe subscribes a user to topics.
func (s *Server) subscribe(username, pushTo string, topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions[username] = &subscription{
		key: "sk" + randomHex(16), pushTo: pushTo, topics: topics,
		leases: map[int]time.Time{}, wake: make(chan struct{}),
	}
}

// Publish publishes a message as a user with all permissions.
func (s *Server) Publish(topic, data string, context ...Message) {
	m := append(context, Message{Priority: defaultPriority})[0]
	m.Topic, m.Data = topic, data
	if m.Expiration == 0 {
		m.Expiration = defaultExpiration
	}
	s.publish(&m, newID(time.Now().UTC())+"a")
}

// Published returns all messages that were published, in their order.
func (s *Server) Published() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.published)
}

// Waiting returns how many messages of a user's subscription are not acknowledged.
func (s *Server) Waiting(username string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subscriptions[username].queue)
}

// publish adds a message to the queues of its topic's subscriptions and returns its id.
func (s *Server) publish(m *Message, cid string) string {
	now := time.Now().UTC()
	m.msgID, m.cid, m.recvTime = "zpsm."+newID(now), cid, isoTime(now)
	if m.pubTime == "" {
		m.pubTime = m.recvTime
	}
	if m.CorrelID == "" {
		m.CorrelID = cid
	}
	m.expires = now.Add(time.Duration(m.Expiration) * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequence++
	m.sequenceID = s.sequence
	s.published = append(s.published, *m)
	for _, sub := range s.subscriptions {
		if !slices.Contains(sub.topics, m.Topic) {
			continue
		}
		at, _ := slices.BinarySearchFunc(sub.queue, m, func(a, b *Message) int {
			if a.Priority != b.Priority {
				return b.Priority - a.Priority
			}
			return a.sequenceID - b.sequenceID
		})
		sub.queue = slices.Insert(sub.queue, at, m)
		sub.notify()
	}
	return m.msgID
}

// take returns up to n messages that are neither leased nor expired.
func (sub *subscription) take(n int) (out []*Message) {
	now := time.Now()
	for _, m := range sub.queue {
		if len(out) == n {
			break
		}
		if now.Before(m.expires) && !now.Before(sub.leases[m.sequenceID]) {
			out = append(out, m)
		}
	}
	return out
}

// acknowledge removes messages.
func (sub *subscription) acknowledge(sequenceIDs ...int) {
	sub.queue = slices.DeleteFunc(sub.queue, func(m *Message) bool { return slices.Contains(sequenceIDs, m.sequenceID) })
	sub.release(sequenceIDs...)
}

// release ends the leases of messages.
func (sub *subscription) release(sequenceIDs ...int) {
	for _, id := range sequenceIDs {
		delete(sub.leases, id)
	}
	sub.notify()
}

func (sub *subscription) notify() {
	close(sub.wake)
	sub.wake = make(chan struct{})
}

// fields returns what pull, push and the gateway have in common.
func (m *Message) fields() map[string]any {
	out := map[string]any{
		"topic_name": m.Topic, "priority": m.Priority, "expiration": m.Expiration, "msg_id": m.msgID,
		"pub_time_iso": m.pubTime, "recv_time_iso": m.recvTime, "expiration_time_iso": isoTime(m.expires),
	}
	for name, value := range map[string]string{
		"correl_id": m.CorrelID, "in_reply_to": m.InReplyTo, "ext_client_id": m.ExtClientID,
	} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// content returns the data as pull does: text that is JSON comes parsed.
func (m *Message) content() any {
	if json.Valid([]byte(m.Data)) {
		return json.RawMessage(m.Data)
	}
	return m.Data
}

// newID returns an id in the form of those of Zato.
func newID(now time.Time) string {
	return now.Format("20060102-150405-") + now.Format(".0000")[1:] + "-" + randomHex(9)[:17]
}

func isoTime(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000+00:00") }

func randomHex(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
