package wsx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// servicePublishList publishes a list of messages.
const servicePublishList = "connect.publish"

// PublicationList is a list of messages for one topic, in their order.
type PublicationList struct {
	Topic string
	// Messages are the messages. Their Topic, MessageID and Deadline are ignored. A message
	// with a MsgID can be published again without a copy: the server then says that it knows
	// the message. A MsgID must not belong to a message of another topic. The server knows
	// it for as long as it keeps the message, and knows none of messages without guaranteed
	// delivery. An ExtClientID has up to MaxIDLength characters too.
	Messages []Publication
	// MessageID is the caller's id of the request, as in Call.
	MessageID string
	// Deadline is when the call is abandoned, as in Call.
	Deadline time.Time
}

// PublishStatus is what became of a message of a list.
type PublishStatus string

// The values of PublishStatus.
const (
	Published PublishStatus = "published"
	Known     PublishStatus = "known"   // a message with its MsgID was published before
	Dropped   PublishStatus = "dropped" // as Publish says
	Refused   PublishStatus = "refused" // Err says why
	// Full means that the topic has as many messages in memory as it may have. The message
	// was not published, and can be as soon as the topic has room. So are all messages of
	// the list behind it, except those with guaranteed delivery. It needs AbilityPublishDepth.
	Full PublishStatus = "full"
)

// PublishResult is the result for one message of a list.
type PublishResult struct {
	Status PublishStatus
	// MsgID is the id of the message. It is that of the Publication, if it has one, or that
	// which the server gave to a message that it published.
	MsgID string
	// Err is set if the message was refused: an *InvalidError by Validate, or a
	// *ServerError with the status 400 by the server. It is a *TopicFullError if the topic
	// is full.
	Err error
}

// PublishList publishes a list of messages in one call, which costs the server far less than
// one call for each. It needs AbilityPublishList, and AbilityPublishKnown for messages with a
// MsgID. Limits.PublishMessages bounds the list. PublishList returns one result for each
// message. A message that is refused does not stop the others. If all of the call fails,
// PublishList fails as Call does, and the server may have published some of the messages, or
// all.
func (c *Client) PublishList(ctx context.Context, list PublicationList) ([]PublishResult, error) {
	op := operation{"publishing to topic", list.Topic}
	results, sent, request := list.encode()
	if len(sent) == 0 {
		return results, nil
	}
	data := wire.Invocation(servicePublishList, request)
	resp, err := c.do(ctx, op, list.MessageID, list.Deadline, &data)
	if err != nil {
		return nil, err
	}
	answer, err := parsePublished(resp.Data, len(sent))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	full := fmt.Errorf("%s: %w", op, &TopicFullError{Depth: answer.Depth, MaxDepth: answer.MaxDepth})
	for i, a := range answer.Messages {
		r := PublishResult{Status: a.Status, MsgID: a.MsgID}
		switch r.Status {
		case Published, Known, Dropped:
		case Refused:
			r.Err = fmt.Errorf("%s: %w", op, &ServerError{Status: http.StatusBadRequest, Text: a.Error})
		case Full:
			r.Err = full
		}
		results[sent[i]] = r
	}
	return results, nil
}

// publishAlone publishes a list of one message, and returns its id as Publish does.
func (c *Client) publishAlone(ctx context.Context, p Publication) (string, error) {
	results, err := c.PublishList(ctx, PublicationList{
		Topic: p.Topic, Messages: []Publication{p}, MessageID: p.MessageID, Deadline: p.Deadline,
	})
	switch {
	case err != nil:
		return "", err
	case results[0].Err != nil:
		return "", results[0].Err
	case results[0].Status == Dropped:
		return "", nil
	}
	return results[0].MsgID, nil
}

// encode returns the request for the messages that are valid, with their places in the list,
// and the results for the others.
func (l *PublicationList) encode() (results []PublishResult, valid []int, request json.RawMessage) {
	results = make([]PublishResult, len(l.Messages))
	size := len(l.Topic)
	for i := range l.Messages {
		size += l.Messages[i].sizeHint()
	}
	out := append(make([]byte, 0, size), '{')
	out = wire.AppendText(out, "topic_name", l.Topic)
	out = append(out, `,"messages":[`...)
	for i := range l.Messages {
		p := l.Messages[i]
		p.Topic = l.Topic
		if err := p.Validate(); err != nil {
			results[i] = PublishResult{
				Status: Refused, MsgID: p.MsgID, Err: fmt.Errorf("publishing to topic %q: %w", l.Topic, err),
			}
			continue
		}
		if len(valid) > 0 {
			out = append(out, ',')
		}
		out = append(p.appendFields(append(out, '{')), '}')
		valid = append(valid, i)
	}
	return results, valid, append(out, "]}"...)
}

// publishAnswer is the answer of connect.publish. The depths are those of the topic in memory.
// They are set if it is full.
type publishAnswer struct {
	Messages []struct {
		Status PublishStatus `json:"status"`
		MsgID  string        `json:"msg_id"`
		Error  string        `json:"error"`
	} `json:"messages"`
	Depth    int `json:"depth"`
	MaxDepth int `json:"max_depth"`
}

// parsePublished returns the answer for n messages.
func parsePublished(data json.RawMessage, n int) (publishAnswer, error) {
	var answer publishAnswer
	ok := json.Unmarshal(data, &answer) == nil && len(answer.Messages) == n
	for _, m := range answer.Messages {
		switch m.Status {
		case Published, Known, Dropped, Refused, Full:
		default:
			ok = false
		}
	}
	if !ok {
		return answer, fmt.Errorf("the answer does not say what became of the messages: %w", ErrNoGateway)
	}
	return answer, nil
}

// TopicFullError means that a topic has as many messages in memory as it may have. The message
// was not published.
type TopicFullError struct {
	// Depth is how many messages the topic has in memory in the server process of the
	// connection, and MaxDepth is how many it may have.
	Depth, MaxDepth int
}

// Error returns the depths and what to do.
func (e *TopicFullError) Error() string {
	return fmt.Sprintf("the topic is full: %d of %d messages in memory: raise max_depth_non_gd of the topic, or publish "+
		"with has_gd: true", e.Depth, e.MaxDepth)
}

// IsTopicFull reports whether a message was not published because its topic was full.
func IsTopicFull(err error) bool {
	var full *TopicFullError
	return errors.As(err, &full)
}

// IsTooLarge reports whether the server, or a proxy in front of it, refused a request because of
// its size. If the error is a close frame, it may have been about another call on the connection,
// unless the error matches ErrRequestTooLarge.
func IsTooLarge(err error) bool {
	var answer *ServerError
	var closed *CloseError
	return errors.As(err, &answer) && answer.Status == http.StatusRequestEntityTooLarge ||
		errors.As(err, &closed) && closed.Code == websocket.CloseMessageTooBig
}
