package wsxtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// namedSubscription is a subscription that has a name and whose messages are
// fetched. Each of its rows is in the database, so it survives a restart. The
// broker's mu guards it.
type namedSubscription struct {
	key, topic, name string
	endpoint         string // the channel's path; other channels cannot use it

	// shared is set if any number of consumers fetch from it at once.
	shared bool
	// holder is the text that identifies the consumer of an exclusive subscription.
	// It is empty if there is none.
	holder string
	// consumer is the client that has holder, nil if there is none.
	consumer *consumer
	// used is when the consumer last subscribed or fetched.
	used time.Time
	// fetching is the number of fetches in progress.
	fetching int

	// rows has the queue in the order of delivery.
	rows []*row
	ids  map[string]*row
	// deleted is set once the subscription is no longer known.
	deleted bool
	// changed is closed and replaced when something may concern a fetch that waits.
	changed chan struct{}
}

// consumer is a client that has an exclusive subscription.
type consumer struct {
	ClientID   string `json:"client_id"`
	ClientName string `json:"client_name"`
}

// row is a message in the queue of a named subscription.
type row struct {
	msg        *message
	deliveries int
	// unconfirmed is set while a consumer has the message.
	unconfirmed bool
	// leaseEnd is when an unconfirmed message of a shared subscription is handed
	// out again. Those of an exclusive one have no lease.
	leaseEnd time.Time
}

func newNamedSubscription(key, topic, name, endpoint string) *namedSubscription {
	return &namedSubscription{
		key: key, topic: topic, name: name, endpoint: endpoint,
		ids: map[string]*row{}, changed: make(chan struct{}),
	}
}

// broadcast wakes the fetches that wait.
func (s *namedSubscription) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// add queues a message behind those of its priority that are not younger.
func (s *namedSubscription) add(m *message) {
	r := &row{msg: m}
	at, _ := slices.BinarySearchFunc(s.rows, m, func(r *row, m *message) int {
		return cmp.Or(cmp.Compare(m.priority, r.msg.priority), r.msg.published.Compare(m.published), -1)
	})
	s.rows = slices.Insert(s.rows, at, r)
	s.ids[m.id] = r
	s.broadcast()
}

// waits reports whether a row can be handed out. Expired messages stay out.
func (r *row) waits(now time.Time) bool {
	return (!r.unconfirmed || r.leaseOver(now)) && now.Before(r.msg.expires())
}

func (r *row) leaseOver(now time.Time) bool {
	return !r.leaseEnd.IsZero() && !now.Before(r.leaseEnd)
}

func (r *row) giveBack() {
	r.unconfirmed, r.leaseEnd = false, time.Time{}
}

// giveBackAll gives back everything that is unconfirmed and returns how much it was.
func (s *namedSubscription) giveBackAll() int {
	n := 0
	for _, r := range s.rows {
		if r.unconfirmed {
			r.giveBack()
			n++
		}
	}
	return n
}

// confirm takes messages off the queue and returns how many there were. They are near
// its front, so it does not look at the whole queue.
func (s *namedSubscription) confirm(ids []string) int {
	gone := map[*row]bool{}
	for _, id := range ids {
		if r := s.ids[id]; r != nil {
			gone[r] = true
			delete(s.ids, id)
		}
	}
	left := len(gone)
	end := 0
	for ; left > 0; end++ {
		if gone[s.rows[end]] {
			left--
		}
	}
	front := slices.DeleteFunc(s.rows[:end:end], func(r *row) bool { return gone[r] })
	s.rows = slices.Delete(s.rows, len(front), end)
	return len(gone)
}

// unconfirmedRows returns those of the messages with the given ids that are
// unconfirmed.
func (s *namedSubscription) unconfirmedRows(ids []string) []*row {
	var found []*row
	for _, id := range ids {
		if r := s.ids[id]; r != nil && r.unconfirmed {
			found = append(found, r)
		}
	}
	return found
}

// handOut hands out messages that wait. It returns none if there are none, and an
// error if the first alone is larger than the request allows.
func (s *namedSubscription) handOut(req fetchRequest, now time.Time) ([]fetchedMessage, error) {
	var taken []*row
	var messages []fetchedMessage
	size := 0
	for _, r := range s.rows {
		if len(taken) == req.max {
			break
		}
		if !r.waits(now) {
			continue
		}
		m := r.fetched()
		if req.maxBytes > 0 {
			size += m.encodedSize()
		}
		if size > req.maxBytes && len(taken) == 0 {
			const text = "Message %s has %d bytes, more than max_bytes"
			return nil, &StatusError{413, fmt.Sprintf(text, m.MsgID, size)}
		}
		if size > req.maxBytes {
			break
		}
		taken, messages = append(taken, r), append(messages, m)
	}
	for _, r := range taken {
		r.deliveries++
		r.unconfirmed = true
		if s.shared {
			r.leaseEnd = now.Add(req.lease)
		}
	}
	return messages, nil
}

// nextLeaseEnd returns when the first lease ends, or the zero time.
func (s *namedSubscription) nextLeaseEnd() time.Time {
	var next time.Time
	if !s.shared {
		return next
	}
	for _, r := range s.rows {
		if !r.leaseEnd.IsZero() && (next.IsZero() || r.leaseEnd.Before(next)) {
			next = r.leaseEnd
		}
	}
	return next
}

// depth returns how many messages wait, and how many a consumer has.
func (s *namedSubscription) depth(now time.Time) (waiting, unconfirmed int) {
	for _, r := range s.rows {
		switch {
		case r.waits(now):
			waiting++
		case r.unconfirmed:
			unconfirmed++
		}
	}
	return waiting, unconfirmed
}

// idle returns for how long the consumer has not fetched. A consumer that has not
// fetched yet is idle since it subscribed.
func (s *namedSubscription) idle(now time.Time) time.Duration {
	if s.fetching > 0 {
		return 0
	}
	return now.Sub(s.used)
}

// fetchedMessage is a message as connect.fetch hands it out. Its fields are in the
// order of the recorded server.
type fetchedMessage struct {
	MsgID          string          `json:"msg_id"`
	Data           json.RawMessage `json:"data"`
	Priority       int             `json:"priority"`
	CorrelID       *string         `json:"correl_id"`
	InReplyTo      *string         `json:"in_reply_to"`
	ExtClientID    string          `json:"ext_client_id"`
	PubTime        string          `json:"pub_time"`
	ExtPubTime     *string         `json:"ext_pub_time"`
	Expiration     int64           `json:"expiration"`
	ExpirationTime string          `json:"expiration_time"`
	MimeType       string          `json:"mime_type"`
	DeliveryCount  int             `json:"delivery_count"`

	source *message
}

func (r *row) fetched() fetchedMessage {
	m := r.msg
	fetched := fetchedMessage{
		MsgID: m.id, Data: m.data, Priority: m.priority,
		ExtClientID: m.extClientID, PubTime: epochText(m.published),
		Expiration: m.expiration, ExpirationTime: epochText(m.expires()),
		MimeType: cmp.Or(m.mimeType, defaultMimeType), DeliveryCount: r.deliveries + 1, source: m,
	}
	if m.correlID != "" {
		fetched.CorrelID = &m.correlID
	}
	if m.inReplyTo != "" {
		fetched.InReplyTo = &m.inReplyTo
	}
	if !m.extPubTime.IsZero() {
		text := epochText(m.extPubTime)
		fetched.ExtPubTime = &text
	}
	if m.data[0] != '"' { // the database has only texts
		fetched.Data = quoteJSON(serviceText(m.data))
	}
	return fetched
}

// encodedSize returns the size of the message as the companion estimates it. The
// server indents what it sends.
func (m fetchedMessage) encodedSize() int {
	const indentation = 350
	raw, _ := json.Marshal(m) //nolint:errchkjson // its only raw field is valid JSON
	return len(formatJSON(raw)) + indentation
}

// recorded returns the message as [Server.Delivered] has it.
func (m fetchedMessage) recorded(subKey string) Message {
	recorded := m.source.recorded()
	recorded.SubKey, recorded.DeliveryCount = subKey, m.DeliveryCount
	return recorded
}

// epochText formats a time as the database of Zato does: as the text of a number of
// seconds.
func epochText(t time.Time) string {
	return strconv.FormatFloat(epoch(t), 'f', -1, 64)
}

// epoch returns the seconds since 1970.
func epoch(t time.Time) float64 {
	return float64(t.UnixMicro()) / 1e6
}
