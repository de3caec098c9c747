package zato4test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultPriority   = 5
	defaultExpiration = 31536000 // seconds

	maxBody          = 8 << 20 // bytes
	maxTopicLength   = 200
	defaultMaxGet    = 50
	maxGet           = 1000
	defaultMaxLength = 20_000_000 // characters of a get

	publishPath = "/pubsub/topic/"
	getPath     = "/pubsub/messages/get"
	invokePath  = "/zato/api/invoke/"
	gatewayPath = "/gateway/"

	invoker = "admin.invoke" // may invoke any service
)

// serve serves a request, or fails it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if fault := s.nextFault(); fault != nil {
		fault(s, w, r)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		reset(w) // a chunked body, or a large one
		return
	}
	s.route(w, r)
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	cid := newID(time.Now().UTC()) + "a"
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	topic, isPublish := strings.CutPrefix(r.URL.Path, publishPath)
	service, isInvoke := strings.CutPrefix(r.URL.Path, invokePath)
	channel, isChannel := s.channels[r.URL.Path]
	switch {
	case isPublish && topic != "" && !strings.Contains(topic, "#"):
		s.servePublish(w, r, topic, cid, body)
	case r.URL.Path == getPath:
		s.serveGet(w, r, cid, body)
	case r.URL.Path == "/zato/ping":
		respond(w, http.StatusOK, map[string]any{"is_ok": true, "cid": cid})
	case isInvoke:
		s.serveInvoke(w, r, service, cid, body)
	case isChannel:
		s.serveChannel(w, r, channel, cid, body)
	case strings.HasPrefix(r.URL.Path, gatewayPath):
		if username, ok := s.channelUser(r, ""); ok {
			s.serveGateway(w, r, username, cid, body)
		} else {
			unauthorized(w, cid)
		}
	default:
		w.Header().Del("Content-Type")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, "URL not found (CID:%s)", cid)
	}
}

// servePublish serves the publication of a message.
func (s *Server) servePublish(w http.ResponseWriter, r *http.Request, topic, cid string, body []byte) {
	username, ok := s.pubSubUser(w, r)
	if !ok {
		return
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		fail(w, cid, "Expecting value: line 1 column 1 (char 0)")
		return
	}
	fields := withQuery(r, body)
	if name, ok := fields["topic_name"].(string); ok && r.URL.Query().Has("topic_name") {
		topic = name // it wins over the path, but not in the body
	}
	data, given := fields["data"]
	if !given {
		fail(w, cid, "Missing required input element: data")
		return
	}
	if data == nil {
		refuse(w, http.StatusBadRequest, "Invalid input: 'data' element missing")
		return
	}
	switch {
	case utf8.RuneCountInString(topic) > maxTopicLength:
		refuse(w, http.StatusBadRequest,
			fmt.Sprintf("Topic name exceeds maximum length of %d characters: %d", maxTopicLength, len(topic)))
	case strings.IndexFunc(topic, func(r rune) bool { return r > 127 }) >= 0:
		refuse(w, http.StatusBadRequest, "Topic name contains non-ASCII characters: "+topic)
	case !s.users[username].mayPublish(topic):
		refuse(w, http.StatusUnauthorized, "Permission denied")
	case !s.isActive(topic):
		refuse(w, http.StatusForbidden, "Topic "+topic+" is inactive")
	default:
		s.accept(w, username, topic, cid, fields)
	}
}

// accept publishes a message whose topic is right.
func (s *Server) accept(w http.ResponseWriter, username, topic, cid string, fields map[string]any) {
	m := &Message{Topic: topic, Publisher: username, Priority: priority(fields), Expiration: expiration(fields)}
	m.CorrelID, _ = fields["correl_id"].(string)
	m.InReplyTo, _ = fields["in_reply_to"].(string)
	m.ExtClientID, _ = fields["ext_client_id"].(string)
	if m.pubTime, _ = fields["pub_time"].(string); m.pubTime != "" {
		if _, err := time.Parse("2006-01-02T15:04:05", m.pubTime); err != nil {
			fail(w, cid, "Invalid isoformat string: '"+m.pubTime+"'")
			return
		}
	}
	if m.Expiration > maxExpiration {
		fail(w, cid, "date value out of range")
		return
	}
	var isText bool
	if m.Data, isText = fields["data"].(string); !isText {
		m.Data = pythonJSON(fields["data"])
	}
	if fields[loneSurrogate] != nil {
		fail(w, cid, "utf-8", m.Data, 1, 2, "surrogates not allowed")
		return
	}
	respond(w, http.StatusOK, map[string]any{"is_ok": true, "msg_id": s.publish(m, cid), "status": "200 OK"})
}

// serveGet hands messages out and forgets them.
func (s *Server) serveGet(w http.ResponseWriter, r *http.Request, cid string, body []byte) {
	username, ok := s.pubSubUser(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	sub := s.subscriptions[username]
	s.mu.Unlock()
	if sub == nil {
		refuse(w, http.StatusUnauthorized, "No subscription found for user")
		return
	}
	fields := withQuery(r, body)
	limit, err := integer(fields, "max_messages", defaultMaxGet)
	if err != nil {
		fail(w, cid, err.Error())
		return
	}
	maxLength, _ := integer(fields, "max_len", defaultMaxLength)
	respondGet(w, s.handOut(sub, min(limit, maxGet), maxLength))
}

// handOut returns messages and forgets them one by one. It holds no lock meanwhile, so that
// others can get them too, as from a real server.
func (s *Server) handOut(sub *subscription, limit, maxLength int) []map[string]any {
	messages := []map[string]any{}
	if sub.pushTo != "" {
		return messages
	}
	s.mu.Lock()
	taken := sub.take(limit)
	s.mu.Unlock()
	length := 0
	for _, m := range taken {
		size := utf8.RuneCountInString(m.Data)
		if length += size; length > maxLength {
			break
		}
		meta := m.fields()
		meta["size"], meta["sub_key"] = size, sub.key
		meta["time_since_pub"], meta["time_since_recv"] = "0:00:00.000001", "0:00:00.000001"
		messages = append(messages, map[string]any{"data": m.content(), "meta": meta})
		s.mu.Lock()
		sub.acknowledge(m.sequenceID)
		s.mu.Unlock()
	}
	return messages
}

func respondGet(w http.ResponseWriter, messages []map[string]any) {
	respond(w, http.StatusOK, map[string]any{
		"is_ok": true, "messages": messages, "message_count": len(messages), "status": "200 OK",
	})
}

// serveInvoke invokes a service by its name.
func (s *Server) serveInvoke(w http.ResponseWriter, r *http.Request, name, cid string, body []byte) {
	if _, ok := s.channelUser(r, invoker); !ok {
		unauthorized(w, cid)
		return
	}
	service, ok := s.invocable[name]
	if !ok {
		respond(w, http.StatusBadRequest, failure(cid, "No such service `"+name+"`"))
		return
	}
	answer, err := service(body)
	if err != nil {
		respond(w, http.StatusInternalServerError, failure(cid, err.Error()))
		return
	}
	respond(w, http.StatusOK, answer)
}

// serveChannel invokes the service of a channel.
func (s *Server) serveChannel(w http.ResponseWriter, r *http.Request, c channel, cid string, body []byte) {
	if _, ok := s.channelUser(r, c.username); !ok {
		unauthorized(w, cid)
		return
	}
	if r.URL.RawQuery != "" {
		body, _ = json.Marshal(withQuery(r, body))
	}
	answer, err := c.service(body)
	if err != nil {
		fail(w, cid, err.Error())
		return
	}
	respond(w, http.StatusOK, answer)
}

// pubSubUser returns the user of a request for pub/sub, or refuses the request.
func (s *Server) pubSubUser(w http.ResponseWriter, r *http.Request) (string, bool) {
	username, password, given := r.BasicAuth()
	if !given {
		refuse(w, http.StatusUnauthorized, "Authentication required")
		return "", false
	}
	u, known := s.users[username]
	if !known || u.password != password || len(u.publish)+len(u.subscribe) == 0 {
		refuse(w, http.StatusUnauthorized, "Invalid credentials")
		return "", false
	}
	return username, true
}

// channelUser returns the user of a request to a channel. If a name is given, no other user
// may call it.
func (s *Server) channelUser(r *http.Request, name string) (string, bool) {
	username, password, _ := r.BasicAuth()
	u, known := s.users[username]
	return username, known && u.password == password && (name == "" || name == username)
}

func (s *Server) isActive(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics[topic]
}

// withQuery returns the members of the body and the query parameters, which win.
func withQuery(r *http.Request, body []byte) map[string]any {
	fields := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if !utf8.Valid(body) || decoder.Decode(&fields) != nil || fields == nil {
		fields = map[string]any{}
	}
	if bytes.Contains(body, []byte(`\ud800`)) {
		fields[loneSurrogate] = true
	}
	for name, values := range r.URL.Query() {
		fields[name] = values[0]
	}
	return fields
}
