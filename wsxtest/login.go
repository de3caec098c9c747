package wsxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// enforceLoginTimeout sends a 403 if no login comes in time. The connection stays
// open but is ignored from then on (transcript no-session).
func (c *session) enforceLoginTimeout() {
	if c.sleep(c.channel.NewTokenWait) && c.transition(stateNew, stateDead) {
		c.sendForbidden()
	}
}

// handleLogin handles a frame of a connection that has not logged in yet.
func (c *session) handleLogin(f clientFrame) bool {
	if f.action != actionCreateSession {
		return c.reject()
	}
	c.srv.recorder.addLogin()
	if id := f.meta["client_id"]; isFalsy(id) || id[0] == '[' || id[0] == '{' {
		c.transition(stateNew, stateDead)
		return true
	}
	login, ok := c.parseLogin(f)
	if !ok {
		return true // no response; the login times out in the end
	}
	if !login.accepted(c) || c.srv.faults.refuseLogin() {
		return c.reject()
	}
	if !c.srv.faults.delayResponse(c) {
		return false
	}
	if !c.startSession(login) {
		return true // the login has timed out
	}
	c.srv.recorder.addSession()
	meta := newMeta(newID(), typeSession)
	meta.Status, meta.InReplyTo = 200, f.id
	data, err := json.Marshal(map[string]string{"token": c.currentToken()})
	if err != nil || c.send(serverFrame{meta, data}) != nil {
		return false
	}
	c.spawn(c.pingLoop)
	return true
}

// login is the content of a create-session frame.
type login struct {
	username, secret     string
	clientID, clientName string
	attrs                map[string]any
}

// parseLogin parses a login. It returns false for a login that gets no response: one
// without a secret that the channel needs, or with attrs that are not lines of a string
// (docs/protocol.md, "Session").
func (c *session) parseLogin(f clientFrame) (login, bool) {
	l := login{
		username:   stringOf(f.meta["username"]),
		secret:     stringOf(f.meta["secret"]),
		clientID:   stringOf(f.meta["client_id"]),
		clientName: clientName(f.meta["client_name"]),
	}
	var attrs string
	if raw := f.meta["attrs"]; len(raw) > 0 && json.Unmarshal(raw, &attrs) != nil {
		return l, false
	}
	var valid bool
	l.attrs, valid = parseAttrs(attrs)
	missing := c.channel.Username != "" && f.meta["secret"] == nil
	return l, valid && !missing
}

func (l login) accepted(c *session) bool {
	return c.channel.Username == "" || (l.username == c.channel.Username && l.secret == c.srv.currentSecret(c.channel))
}

// startSession creates a session with a new token. It returns false if the login
// has timed out.
func (c *session) startSession(l login) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateNew {
		return false
	}
	c.state = stateOpen
	c.clientID, c.clientName, c.attrs = l.clientID, l.clientName, l.attrs
	c.token = "zwsxt." + newID()
	c.expires = time.Now().Add(c.channel.TokenTTL)
	return true
}

func (c *session) currentToken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

func (c *session) validToken(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token != "" && token == c.token && time.Now().Before(c.expires)
}

// revokeToken makes the token invalid, as a second login does (transcript
// second-create-session).
func (c *session) revokeToken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = ""
}

// expireToken makes the token expire now.
func (c *session) expireToken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expires = time.Now()
}

// extendToken extends the token by a ping interval, as an answered ping does
// (transcript pings).
func (c *session) extendToken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expires = c.expires.Add(c.channel.PingInterval)
}

// clientName returns a client_name. A name that is an object is rendered as
// "app: demo; v: 1" (transcript attrs).
func clientName(raw json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return stringOf(raw)
	}
	var parts []string
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			break
		}
		parts = append(parts, fmt.Sprintf("%v: %s", key, pythonStr(value)))
	}
	return strings.Join(parts, "; ")
}

// parseAttrs parses lines of key=value. A value that looks like a number or a
// boolean is converted to one (transcript attrs). It returns false if a line that is not
// empty has no "=", which breaks the login.
func parseAttrs(lines string) (map[string]any, bool) {
	attrs := map[string]any{}
	for line := range strings.SplitSeq(lines, "\n") {
		key, value, found := strings.Cut(line, "=")
		switch {
		case line == "":
		case !found:
			return nil, false
		default:
			attrs[strings.TrimSpace(key)] = parseAttr(strings.TrimSpace(value))
		}
	}
	return attrs, true
}

func parseAttr(value string) any {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(value, 64); err == nil && json.Valid([]byte(value)) {
		return f
	}
	switch value {
	case "true", "True":
		return true
	case "false", "False":
		return false
	}
	return value
}
