package wsxtest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxRecorded is the maximum number of entries in each list of the recorder.
const maxRecorded = 2_000_000

// Message is a message that was published or delivered.
type Message struct {
	ID, Topic string
	// SubKey is the subscription that the message was delivered to. It is empty in
	// [Server.Published].
	SubKey             string
	Data               json.RawMessage
	Priority           int
	CorrelID           string
	GuaranteedDelivery bool
	// DeliveryCount is 1 for the first delivery. It is 0 in [Server.Published].
	DeliveryCount int
}

// SubscriptionInfo describes a subscription.
type SubscriptionInfo struct {
	SubKey, Topic, ClientID string
	Durable                 bool
	// Depth is the number of queued messages.
	Depth int
	// Attached reports whether the subscription is attached to a connection.
	Attached bool
	// AttachedTo is the server's id of that connection, which is the PubClientID
	// of an [Invocation].
	AttachedTo string

	// Name is the name of a subscription that is fetched. It is empty for one whose
	// messages are pushed. A fetched one is durable and attached to no connection.
	Name string
	// Shared reports whether several consumers fetch from the subscription at once.
	Shared bool
	// Unconfirmed is the number of messages that were fetched and not confirmed.
	// Depth does not count them.
	Unconfirmed int
}

// CloseFrame is a close frame that a client sent.
type CloseFrame struct {
	Code     int
	Reason   string
	ClientID string
}

// ClientResponse is a client-response frame.
type ClientResponse struct {
	ClientID string
	// InReplyTo is the id of a request or of a pushed frame.
	InReplyTo string
	// Response is the content of the response, without its wrapper object.
	Response json.RawMessage
}

// Frame is a recorded WebSocket frame.
type Frame struct {
	Time        time.Time
	PubClientID string // the server's id of the connection
	FromClient  bool
	Type        int // a message type of package gorilla/websocket
	Payload     []byte
}

// recorder records what the server received and sent, for assertions.
type recorder struct {
	frameLimit int // set by an option

	// mu guards the fields below. Nothing blocks while holding it.
	mu          sync.Mutex
	logins      int
	sessions    int
	invocations map[string]int
	published   []Message
	delivered   []Message
	closeFrames []CloseFrame
	responses   []ClientResponse
	frames      []Frame
}

// appendBounded appends an entry to a list. It drops the oldest entries beyond the
// limit, but only when the list is a quarter longer than that.
func appendBounded[T any](list []T, entry T, limit int) []T {
	if len(list) >= limit+limit/4 {
		list = slices.Clone(list[len(list)-limit+1:])
	}
	return append(list, entry)
}

// tail returns a copy of the last entries of a list.
func tail[T any](list []T, limit int) []T {
	return slices.Clone(list[max(0, len(list)-limit):])
}

func (it *item) recorded(subKey string) Message {
	m := it.msg.recorded()
	m.Data, m.SubKey, m.DeliveryCount = it.msg.content(), subKey, int(it.deliveries.Load())+1
	return m
}

func (m *message) recorded() Message {
	return Message{
		ID: m.id, Topic: m.topic, Data: m.data, Priority: m.priority,
		CorrelID: m.correlID, GuaranteedDelivery: m.guaranteed,
	}
}

func (r *recorder) addPublished(m *message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = appendBounded(r.published, m.recorded(), maxRecorded)
}

func (r *recorder) addDelivered(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivered = appendBounded(r.delivered, m, maxRecorded)
}

func (r *recorder) addCloseFrame(info CloseFrame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeFrames = appendBounded(r.closeFrames, info, maxRecorded)
}

func (r *recorder) addResponse(info ClientResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.responses = appendBounded(r.responses, info, maxRecorded)
}

func (r *recorder) addLogin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logins++
}

func (r *recorder) addSession() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions++
}

func (r *recorder) addInvocation(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.invocations == nil {
		r.invocations = map[string]int{}
	}
	r.invocations[service]++
}

func (r *recorder) addFrame(c *session, fromClient bool, kind int, payload []byte) {
	if r.frameLimit == 0 {
		return
	}
	f := Frame{time.Now(), c.pubClientID, fromClient, kind, payload}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = appendBounded(r.frames, f, r.frameLimit)
}

// Connections returns the number of open connections, logged in or not.
func (s *Server) Connections() int {
	return len(s.connections())
}

// SessionsOpened returns the number of successful logins since NewServer.
func (s *Server) SessionsOpened() int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.sessions
}

// LoginAttempts returns the number of logins since NewServer, successful or not.
func (s *Server) LoginAttempts() int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.logins
}

// Invocations returns how often a service was invoked, including invocations that
// the server rejected. The name of a service that a channel is mounted on is "".
func (s *Server) Invocations(service string) int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.invocations[service]
}

// InvocationsByService returns the number of invocations of each service.
func (s *Server) InvocationsByService() map[string]int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return maps.Clone(s.recorder.invocations)
}

// Published returns the messages that the server accepted, in order. Only the last
// two million are kept.
func (s *Server) Published() []Message {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.published, maxRecorded)
}

// Delivered returns the messages that the server wrote to connections, in order and
// with duplicates. Only the last two million are kept.
func (s *Server) Delivered() []Message {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.delivered, maxRecorded)
}

// CloseFrames returns the close frames that clients sent, in order. Only the last
// two million are kept.
func (s *Server) CloseFrames() []CloseFrame {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.closeFrames, maxRecorded)
}

// Responses returns the client-response frames that clients sent to requests and
// messages, in order. Late ones are included. Only the last two million are kept.
func (s *Server) Responses() []ClientResponse {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.responses, maxRecorded)
}

// Frames returns the last frames in both directions, as many as [WithFrameRecorder]
// allows. It returns none without that option.
func (s *Server) Frames() []Frame {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.frames, s.recorder.frameLimit)
}

// Subscriptions returns all subscriptions, ordered by key.
func (s *Server) Subscriptions() []SubscriptionInfo {
	return s.broker.subscriptions()
}
