package wsxtest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxRecorded is how many entries each list of the account keeps: the last
// two million.
const maxRecorded = 2_000_000

// Message is a message as the account has it.
type Message struct {
	ID, Topic string
	// SubKey is the subscription that it was delivered to, "" in [Server.Published].
	SubKey             string
	Data               json.RawMessage
	Priority           int
	CorrelID           string
	GuaranteedDelivery bool
	// DeliveryCount is 1 for the first delivery, 0 in [Server.Published].
	DeliveryCount int
}

// SubscriptionInfo describes a subscription.
type SubscriptionInfo struct {
	SubKey, Topic, ClientID string
	Durable                 bool
	// Depth is how many messages are queued.
	Depth int
	// Attached tells whether a connection holds it. Holder is the server's id of
	// that connection, the PubClientID of an [Invocation].
	Attached   bool
	AttachedTo string
}

// CloseFrame is a close frame that a client sent.
type CloseFrame struct {
	Code     int
	Reason   string
	ClientID string
}

// ClientResponse is a client-response.
type ClientResponse struct {
	ClientID string
	// InReplyTo is the id of a request, or of a frame of one message.
	InReplyTo string
	// Response is out of its wrapper, if it had one.
	Response json.RawMessage
}

// Frame is a frame on the wire.
type Frame struct {
	Time        time.Time
	PubClientID string // the server's id of the connection
	FromClient  bool
	Type        int // as of package websocket
	Payload     []byte
}

// recorder is the server's own record, for assertions.
type recorder struct {
	frameLimit int // set by an option

	// mu guards what is below; nothing waits under it.
	mu            sync.Mutex
	logins        int
	sessions      int
	invocations   map[string]int
	published []Message
	delivered []Message
	closeFrames     []CloseFrame
	responses  []ClientResponse
	frames     []Frame
}

// appendBounded appends to a list and drops the oldest entries beyond the limit, a
// quarter of it at a time.
func appendBounded[T any](list []T, entry T, limit int) []T {
	if len(list) >= limit+limit/4 {
		list = slices.Clone(list[len(list)-limit+1:])
	}
	return append(list, entry)
}

// tail returns a copy of the last entries.
func tail[T any](list []T, limit int) []T {
	return slices.Clone(list[max(0, len(list)-limit):])
}

func (it *item) recorded(subKey string) Message {
	m := it.msg.recorded()
	m.SubKey, m.DeliveryCount = subKey, it.deliveries+1
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

// Connections returns how many connections are open now, logged in or not.
func (s *Server) Connections() int {
	return len(s.connections())
}

// SessionsOpened returns how many logins have succeeded.
func (s *Server) SessionsOpened() int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.sessions
}

// LoginAttempts returns how many logins were attempted.
func (s *Server) LoginAttempts() int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.logins
}

// Invocations returns how often a service was invoked, refused or not. The
// service of a channel with one service has the name "".
func (s *Server) Invocations(service string) int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return s.recorder.invocations[service]
}

// InvocationsByService returns how often each service was invoked.
func (s *Server) InvocationsByService() map[string]int {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return maps.Clone(s.recorder.invocations)
}

// Published returns the messages that were accepted, the last two million of them.
func (s *Server) Published() []Message {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.published, maxRecorded)
}

// Delivered returns the messages that were written to a socket, in order and with
// repeats, the last two million of them.
func (s *Server) Delivered() []Message {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.delivered, maxRecorded)
}

// CloseFrames returns the close frames that clients sent, the last two million of them.
func (s *Server) CloseFrames() []CloseFrame {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.closeFrames, maxRecorded)
}

// Responses returns the client-responses that came, to requests and to messages,
// awaited or not, the last two million of them.
func (s *Server) Responses() []ClientResponse {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.responses, maxRecorded)
}

// Frames returns the last frames that went either way, if [WithRecorder] asked
// for them.
func (s *Server) Frames() []Frame {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return tail(s.recorder.frames, s.recorder.frameLimit)
}

// Subscriptions returns all subscriptions, ordered by key.
func (s *Server) Subscriptions() []SubscriptionInfo {
	return s.broker.subscriptions()
}
