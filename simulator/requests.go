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

// Names of the fields of a request.
const (
	fieldRequests = "requests"
	fieldClientID = "client_id"
	fieldInterval = "interval"
	fieldTimeout  = "timeout"
	fieldMapping  = "mapping"
	fieldAnswers  = "answers_topic"
)

func requestsField() *service.ConfigField {
	return service.NewObjectListField(fieldRequests,
		service.NewStringField(fieldClientID).
			Description("The client to ask. While it is not connected, nothing is asked."),
		service.NewDurationField(fieldInterval).
			Description("The time between requests, of which one at a time is made.").
			Default("1s"),
		service.NewDurationField(fieldTimeout).
			Description("How long an answer is waited for before it is taken for null.").
			Default("5s"),
		service.NewBloblangField(fieldMapping).
			Description("A Bloblang mapping that makes the request. `@number` counts them, from 1. After a mapping that "+
				"deletes its root no more are made.").
			Example(`root = if @number > 10 { deleted() } else { { "item": @number } }`),
		service.NewStringField(fieldAnswers).
			Description("A topic to which each request is published together with its answer, as "+
				"`{\"request\": ..., \"answer\": ...}`. Empty: none.").
			Default(""),
	).
		Description("Requests that the server makes of clients, as a service of Zato can.").
		Default([]any{})
}

// asker makes requests of a client.
type asker struct {
	server            *wsxtest.Server
	log               *service.Logger
	clientID, answers string
	interval, timeout time.Duration
	mapping           *bloblang.Executor
}

func parseAskers(conf *service.ParsedConfig, server *wsxtest.Server, log *service.Logger) ([]*asker, error) {
	list, err := conf.FieldObjectList(fieldRequests)
	if err != nil {
		return nil, err
	}
	var out []*asker
	for i, one := range list {
		a := &asker{server: server, log: log}
		var errs [5]error
		a.clientID, errs[0] = one.FieldString(fieldClientID)
		a.interval, errs[1] = one.FieldDuration(fieldInterval)
		a.timeout, errs[2] = one.FieldDuration(fieldTimeout)
		a.mapping, errs[3] = one.FieldBloblang(fieldMapping)
		a.answers, errs[4] = one.FieldString(fieldAnswers)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("field %s.%d: %w", fieldRequests, i, err)
		}
		if a.interval <= 0 || a.timeout <= 0 || a.clientID == "" {
			return nil, fmt.Errorf("field %s.%d: needs a %s, and an %s and a %s that are longer than zero",
				fieldRequests, i, fieldClientID, fieldInterval, fieldTimeout)
		}
		out = append(out, a)
	}
	return out, nil
}

// run makes requests until ctx ends or there are no more.
func (a *asker) run(ctx context.Context) {
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	number := int64(1)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		request, err := a.request(number)
		if request == nil {
			if err != nil {
				a.log.Errorf("The simulator makes no more requests of client %q: %v", a.clientID, err)
			}
			return
		}
		answer, err := a.server.Request(ctx, a.clientID, request, a.timeout)
		if err != nil {
			a.log.Debugf("The simulator could not ask: %v", err)
			continue
		}
		number++
		if a.answers != "" {
			a.publish(request, answer)
		}
	}
}

// request makes the next request, nil if there is none.
func (a *asker) request(number int64) (json.RawMessage, error) {
	msg := service.NewMessage(nil)
	msg.MetaSetMut("number", number)
	request, err := msg.BloblangQuery(a.mapping)
	if request == nil || err != nil {
		return nil, err
	}
	text, err := request.AsBytes()
	if err == nil && !request.HasStructured() {
		return json.Marshal(string(text))
	}
	return text, err
}

func (a *asker) publish(request, answer json.RawMessage) {
	both := map[string]json.RawMessage{"request": request, "answer": answer}
	if _, err := a.server.Publish(a.answers, both, wsxtest.PublishOptions{}); err != nil {
		a.log.Errorf("The simulator could not publish an answer: %v", err)
	}
}

// askers are what makes requests, until stop is called.
type askers struct {
	running sync.WaitGroup
	stop    context.CancelFunc
}

func startAskers(list []*asker) *askers {
	ctx, stop := context.WithCancel(context.Background()) //nolint:forbidigo // the simulator's life begins here
	all := &askers{stop: stop}
	for _, a := range list {
		all.running.Go(func() { a.run(ctx) })
	}
	return all
}

// close stops all of them and waits for that.
func (all *askers) close() {
	all.stop()
	all.running.Wait()
}
