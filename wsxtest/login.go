package wsxtest

import (
	"net/http"
	"time"
)

// expectLogin refuses a client that creates no session in time. The connection
// then stays open, and dead (no-session).
func (s *Session) expectLogin() {
	timer := time.NewTimer(s.channel.NewTokenWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
		return
	}
	s.mu.Lock()
	late := s.login == nil && !s.dead
	s.dead = s.dead || late
	s.mu.Unlock()
	if late {
		_ = s.send(refusalFrame())
	}
}

// logIn handles the first frame that a client may send. One without an id, a
// timestamp, a client_id or, where the channel has credentials, a secret gets no
// answer; nor does one whose attrs are no text.
func (s *Session) logIn(f *clientFrame) error {
	username, secret := s.server.secretOf(s.channel)
	credentials := username != "" || secret != ""
	attrs, isText := text(f.Meta.Attrs)
	switch {
	case f.Meta.Action != "create-session":
		return s.refuse()
	case f.Meta.ID == "" || f.Meta.Timestamp == "" || f.Meta.ClientID == "":
		return nil
	case credentials && f.Meta.Secret == nil:
		return nil
	case len(f.Meta.Attrs) > 0 && !isText:
		return nil
	case credentials && (f.Meta.Username != username || *f.Meta.Secret != secret), s.server.faults.refuseLogin():
		s.server.account.refusedLogin()
		return s.refuse()
	}
	l := &login{
		clientID: f.Meta.ClientID, clientName: clientName(f.Meta.ClientName), attributes: attributes(attrs),
		pubClientID: newID("ws."), token: newID("zwsxt."), expires: time.Now().Add(s.channel.TokenTTL),
	}
	s.mu.Lock()
	s.login = l
	s.mu.Unlock()
	s.server.account.loggedIn()

	answer := serverFrame{Meta: newMeta(newID(""), typeSession), Data: map[string]string{"token": l.token}}
	answer.Meta.Status, answer.Meta.InReplyTo = http.StatusOK, f.Meta.ID
	if err := s.send(answer); err != nil {
		return err
	}
	s.helpers.Go(s.keepAlive)
	s.helpers.Go(s.deliverRounds)
	return nil
}
