package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// The names of the fields of a requester.
const (
	fieldRequests     = "requests"
	fieldClientID     = "client_id"
	fieldInterval     = "interval"
	fieldTimeout      = "timeout"
	fieldMapping      = "mapping"
	fieldAnswersTopic = "answers_topic"
)

func requestsField() *service.ConfigField {
	return service.NewObjectListField(fieldRequests,
		service.NewStringField(fieldClientID).
			Description("The `client_id` of the client to send requests to. While it is not connected, none are sent."),
		service.NewDurationField(fieldInterval).
			Description("The time between requests. There is never more than one request at a time.").
			Default("1s"),
		service.NewDurationField(fieldTimeout).
			Description("How long to wait for an answer. After that, the answer is `null`.").
			Default("5s"),
		service.NewBloblangField(fieldMapping).
			Description("A Bloblang mapping that makes the request. `@number` is the number of the request, from 1. "+
				"The requests end when the mapping deletes its root.").
			Example(`root = if @number > 10 { deleted() } else { { "item": @number } }`),
		service.NewStringField(fieldAnswersTopic).
			Description("The topic to which the simulator publishes each request with its answer, as "+
				"`{\"request\": ..., \"answer\": ...}`. If it is empty, they are not published.").
			Default(""),
	).
		Description("Requests that the simulated server sends to clients, as a service in Zato can.").
		Default([]any{})
}

// requester sends requests to one client.
type requester struct {
	server            *wsxtest.Server
	log               *service.Logger
	clientID          string
	answersTopic      string
	interval, timeout time.Duration
	mapping           *bloblang.Executor
}

func parseRequesters(conf *service.ParsedConfig, server *wsxtest.Server, log *service.Logger) ([]*requester, error) {
	list, err := conf.FieldObjectList(fieldRequests)
	if err != nil {
		return nil, err
	}
	var out []*requester
	for i, fields := range list {
		r := &requester{server: server, log: log}
		var errs [5]error
		r.clientID, errs[0] = fields.FieldString(fieldClientID)
		r.interval, errs[1] = fields.FieldDuration(fieldInterval)
		r.timeout, errs[2] = fields.FieldDuration(fieldTimeout)
		r.mapping, errs[3] = fields.FieldBloblang(fieldMapping)
		r.answersTopic, errs[4] = fields.FieldString(fieldAnswersTopic)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("field %s.%d: %w", fieldRequests, i, err)
		}
		if r.interval <= 0 || r.timeout <= 0 || r.clientID == "" {
			return nil, fmt.Errorf("field %s.%d: set %s, and make %s and %s longer than zero",
				fieldRequests, i, fieldClientID, fieldInterval, fieldTimeout)
		}
		out = append(out, r)
	}
	return out, nil
}

// run sends requests until ctx ends or the mapping deletes its root.
func (r *requester) run(ctx context.Context) {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	number := int64(1)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		request, err := r.request(number)
		if request == nil {
			if err != nil {
				r.log.Errorf("The simulator stopped sending requests to client %q: %v: correct the mapping", r.clientID, err)
			}
			return
		}
		answer, err := r.server.Request(ctx, r.clientID, request, r.timeout)
		if err != nil {
			r.log.Debugf("The simulator could not send a request: %v", err)
			continue
		}
		number++
		if r.answersTopic != "" {
			r.publish(request, answer)
		}
	}
}

// request makes the next request. It returns nil if there is none.
func (r *requester) request(number int64) (json.RawMessage, error) {
	msg := service.NewMessage(nil)
	msg.MetaSetMut("number", number)
	request, err := msg.BloblangQuery(r.mapping)
	if request == nil || err != nil {
		return nil, err
	}
	text, err := request.AsBytes()
	if err == nil && !request.HasStructured() {
		return json.Marshal(string(text))
	}
	return text, err
}

func (r *requester) publish(request, answer json.RawMessage) {
	pair := map[string]json.RawMessage{"request": request, "answer": answer}
	if _, err := r.server.Publish(r.answersTopic, pair, wsxtest.PublishOptions{}); err != nil {
		r.log.Errorf("The simulator could not publish an answer to topic %q: %v", r.answersTopic, err)
	}
}

// requesters is a set of running requesters.
type requesters struct {
	running sync.WaitGroup
	stop    context.CancelFunc
}

func startRequesters(list []*requester) *requesters {
	ctx, stop := context.WithCancel(context.Background()) //nolint:forbidigo // the engine gives no context
	rs := &requesters{stop: stop}
	for _, r := range list {
		rs.running.Go(func() { r.run(ctx) })
	}
	return rs
}

// close stops all of them and waits until they have returned.
func (rs *requesters) close() {
	rs.stop()
	rs.running.Wait()
}
