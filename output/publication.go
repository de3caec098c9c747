package output

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

// message is a message on its way to Zato.
type message struct {
	wsx.Publication

	span *tracing.Span
	err  error // why it was not published; nil if it was
}

// publication returns the publication for a message and describes it in the message's span. It
// checks the interpolated fields; the client checks the rest.
func (o *output) publication(msg *service.Message) (wsx.Publication, *tracing.Span, error) {
	var p wsx.Publication
	span := tracing.Current(msg)
	content, err := msg.AsBytes()
	if err != nil {
		return p, span, err
	}
	r := fieldReader{fields: o.fields, msg: msg}
	p = wsx.Publication{
		Topic:       r.str(fieldTopic),
		Data:        string(content),
		Priority:    r.priority(),
		Expiration:  r.expiration(),
		MimeType:    r.str(fieldMimeType),
		CorrelID:    r.str(fieldCorrelID),
		InReplyTo:   r.str(fieldInReplyTo),
		ExtClientID: r.str(fieldExtClientID),
		ExtPubTime:  r.str(fieldExtPubTime),
		HasGD:       r.guaranteed(),
		MsgID:       r.str(fieldMsgID),
	}
	span.Describe(tracing.Message{Destination: p.Topic, ConversationID: p.CorrelID})
	if r.err != nil {
		return p, span, fmt.Errorf("publishing to topic %q: %w", p.Topic, r.err)
	}
	return p, span, nil
}

// notSent returns the error of a message that was not sent because of err. It has the form of
// the client's errors. It is nil if err is.
func notSent(topic string, err error) error {
	if err == nil {
		return nil
	}
	return &wsx.CallError{Op: fmt.Sprintf("publishing to topic %q", topic), SendStatus: wsx.NotSent, Err: err}
}

// needsList reports whether a publication has fields that only connect.publish keeps, or may be
// one in memory, of which the server loses those for which it has no room.
func needsList(p *wsx.Publication) bool {
	isGuaranteed := p.HasGD != nil && *p.HasGD
	return !isGuaranteed || p.MsgID != "" || p.MimeType != "" || p.ExtClientID != "" || p.ExtPubTime != ""
}

// isRefusal reports whether a message failed because of what it contains. Others can be
// published all the same.
func isRefusal(err error, mayRepeat func(error) bool) bool {
	var refused *wsx.ServerError
	return errors.Is(err, wsx.ErrInvalid) || connection.IsTooLarge(err, mayRepeat) ||
		errors.As(err, &refused) && refused.Status == http.StatusBadRequest
}

// errHeldBack is the error of a message that must not overtake the one before it.
var errHeldBack = errors.New("not sent, because an earlier message of the topic failed")

// holdBack fails messages that would overtake one that failed.
func holdBack(messages []*message) {
	for _, m := range messages {
		m.err = notSent(m.Topic, errHeldBack)
	}
}
