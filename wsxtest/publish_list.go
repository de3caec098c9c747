package wsxtest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxListed is the maximum number of messages in one call of connect.publish.
const maxListed = 2000

// listOutcome is what connect.publish says about one message. The recorded server
// writes the fields of a message that it refuses in another order.
type listOutcome struct {
	id     *string
	status string
	err    string // the reason if the status is statusRefused
}

const (
	statusPublished = "published"
	statusKnown     = "known"
	statusDropped   = "dropped"
	statusRefused   = "refused"
	statusFull      = "full"
)

// listAnswer is the answer of connect.publish. The depths are those of a topic that is full.
type listAnswer struct {
	Messages []listOutcome `json:"messages"`
	Depth    int           `json:"depth,omitempty"`
	MaxDepth int           `json:"max_depth,omitempty"`
}

// MarshalJSON encodes the fields in the order of the recorded server.
func (o listOutcome) MarshalJSON() ([]byte, error) {
	if o.status == statusRefused {
		return json.Marshal(struct {
			Status string  `json:"status"`
			Error  string  `json:"error"`
			MsgID  *string `json:"msg_id,omitempty"`
		}{o.status, o.err, o.id})
	}
	return json.Marshal(struct {
		MsgID  *string `json:"msg_id"`
		Status string  `json:"status"`
	}{o.id, o.status})
}

// publishList is the service connect.publish (transcript connect-publish).
func (c *session) publishList(inv Invocation) (serviceOutcome, error) {
	f := newCompanionFields(inv.Request)
	name, list := f.required("topic_name"), f.list("messages", maxListed)
	switch {
	case f.err != nil:
		return serviceOutcome{}, f.err
	case name == "", slices.Contains(c.channel.NoPublish, name):
		return serviceOutcome{}, notAllowed()
	}
	topic, exists := c.srv.broker.topic(name)
	switch {
	case !exists:
		return serviceOutcome{}, noSuchTopic(name)
	case topic.Inactive:
		return serviceOutcome{}, inactiveTopic(name)
	}
	outcomes, accepted, places := acceptList(list, topic, inv.CID)
	setTimes(accepted, time.Now())
	statuses, fullDepth := c.srv.broker.publishList(name, accepted)
	for i, status := range statuses {
		m := accepted[i]
		outcome := listOutcome{&m.id, status, ""}
		switch status {
		case statusPublished:
			c.srv.recorder.addPublished(m)
		case statusRefused:
			outcome.err = "msg_id is of a message of another topic"
		}
		outcomes[places[i]] = outcome
	}
	whole := listAnswer{Messages: outcomes}
	if fullDepth > 0 {
		whole.Depth, whole.MaxDepth = fullDepth, topic.MaxDepthNonGD
	}
	return answer(whole)
}

// acceptList returns the outcomes of the messages that are not published, and the other
// messages with their places in the list.
func acceptList(
	list []json.RawMessage, t Topic, cid string,
) (outcomes []listOutcome, accepted []*message, places []int) {
	outcomes = make([]listOutcome, len(list))
	seen := map[string]bool{}
	for i, raw := range list {
		m, refusal := parseListed(raw)
		switch {
		case refusal != "":
			outcomes[i] = listOutcome{refusedID(raw), statusRefused, refusal}
			continue
		case seen[m.id]:
			outcomes[i] = listOutcome{&m.id, statusKnown, ""}
			continue
		}
		seen[m.id] = m.id != ""
		fields := fieldsOf(raw)
		m.topic, m.guaranteed = t.Name, t.GuaranteedDelivery
		if hasGD := string(fields["has_gd"]); hasGD != "" && hasGD != "null" {
			m.guaranteed = hasGD == "true"
		}
		if correlID := string(fields["correl_id"]); correlID == "" || correlID == "null" {
			m.correlID = cid
		}
		accepted, places = append(accepted, m), append(places, i)
	}
	return outcomes, accepted, places
}

// setTimes sets the times of the messages of one call. They differ by a microsecond,
// in the order of delivery.
func setTimes(messages []*message, now time.Time) {
	ranked := slices.Clone(messages)
	slices.SortStableFunc(ranked, func(a, b *message) int { return cmp.Compare(b.priority, a.priority) })
	for rank, m := range ranked {
		m.published = now.Add(time.Duration(rank) * time.Microsecond)
	}
}

// parseListed parses a message of a list. It returns why the server refuses it.
func parseListed(raw json.RawMessage) (m *message, refusal string) {
	fields := fieldsOf(raw)
	if fields == nil {
		return nil, "not an object"
	}
	m = &message{priority: defaultPriority, expiration: defaultExpiration}
	switch text, isText := textOf(fields["data"]); {
	case isFalsy(fields["data"]):
		return nil, "no data"
	case !isText:
		return nil, "data is not a text"
	case !isStorable(fields["data"]):
		return nil, "data has a character that cannot be stored"
	default:
		m.data, m.size = quoteJSON(text), len(text)
	}
	for name, value := range fields {
		parse := listedFields[name]
		if parse != nil && string(value) != "null" && !parse(m, value) {
			return nil, "bad " + name
		}
	}
	return m, ""
}

// maxListedText is the maximum length of a text in the metadata of a listed message.
const maxListedText = 200

// listedFields parse the optional fields of a message in a list. Each returns false
// if the value is not valid.
var listedFields = map[string]func(*message, json.RawMessage) bool{ //nolint:gochecknoglobals // a constant table
	"msg_id":        func(m *message, raw json.RawMessage) bool { return parseListedText(&m.id, raw) },
	"correl_id":     func(m *message, raw json.RawMessage) bool { return parseListedText(&m.correlID, raw) },
	"in_reply_to":   func(m *message, raw json.RawMessage) bool { return parseListedText(&m.inReplyTo, raw) },
	"ext_client_id": func(m *message, raw json.RawMessage) bool { return parseListedText(&m.extClientID, raw) },
	"mime_type":     func(m *message, raw json.RawMessage) bool { return parseListedText(&m.mimeType, raw) },
	"ext_pub_time":  parseExtPubTime,
	"priority": func(m *message, raw json.RawMessage) bool {
		n, err := strconv.Atoi(string(raw))
		m.priority = n
		return err == nil && n >= 1 && n <= 9
	},
	"expiration": func(m *message, raw json.RawMessage) bool {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if n > 0 {
			m.expiration = min(n, defaultExpiration)
		}
		return err == nil && n >= 0 && n < 1<<53
	},
	"has_gd": func(_ *message, raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == "false" },
}

func parseListedText(to *string, raw json.RawMessage) bool {
	text, isText := textOf(raw)
	*to = text
	return isText && utf8.RuneCountInString(text) <= maxListedText && isStorable(raw)
}

// isStorable reports whether each database can store a text.
func isStorable(raw json.RawMessage) bool {
	return !strings.Contains(stringOf(raw), "\x00") && !hasLoneSurrogate(raw)
}

// isoLayout is the layout of isoTime. Fractions of a second are optional when parsing.
const isoLayout = "2006-01-02T15:04:05"

func parseExtPubTime(m *message, raw json.RawMessage) bool {
	text, isText := textOf(raw)
	if text == "" {
		return isText
	}
	for _, layout := range []string{isoLayout, isoLayout + "Z07:00", time.DateOnly} {
		var err error
		if m.extPubTime, err = time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

// textOf returns a JSON string and whether it is one.
func textOf(raw json.RawMessage) (string, bool) {
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		return "", false
	}
	return *text, true
}

// refusedID returns the id of a message that the server refuses, nil if it has none.
func refusedID(raw json.RawMessage) *string {
	id, isText := textOf(fieldsOf(raw)["msg_id"])
	if !isText {
		return nil
	}
	return &id
}
