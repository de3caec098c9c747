package wsxtest_test

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// scriptedService returns a service that gives the recorded answers in their order.
func (r *replay) scriptedService(events []transcript.Event, name string) wsxtest.Service {
	answers := r.recordedAnswers(events, name)
	return func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		answer := answers[0]
		answers = answers[1:]
		if answer.Meta.Status != 200 {
			return nil, &wsxtest.StatusError{Status: answer.Meta.Status, Message: answer.Meta.ErrorMessage}
		}
		var data struct {
			Response struct {
				Result json.RawMessage `json:"zato_gateway_response"`
			} `json:"response"`
		}
		if err := json.Unmarshal(answer.Data, &data); err != nil {
			return nil, err
		}
		r.publishScripted(inv, data.Response.Result)
		return data.Response.Result, nil
	}
}

// recordedAnswers returns the recorded responses of a service.
func (r *replay) recordedAnswers(events []transcript.Event, name string) []frame {
	invoked := map[string]bool{}
	var answers []frame
	for _, e := range events {
		raw, err := e.Bytes()
		if err != nil || e.Frame != transcript.Text {
			continue
		}
		var sent struct {
			Meta struct {
				ID string `json:"id"`
			} `json:"meta"`
			Data struct {
				Service string `json:"service"`
			} `json:"data"`
		}
		var received frame
		require.NoError(r.t, json.Unmarshal(raw, &received))
		if invoked[received.Meta.InReplyTo] {
			answers = append(answers, received)
		}
		if e.Dir == transcript.Client && json.Unmarshal(raw, &sent) == nil && sent.Data.Service == name {
			invoked[sent.Meta.ID] = true
		}
	}
	return answers
}

// publishScripted publishes those messages of a request that the answer has new ids of.
func (r *replay) publishScripted(inv wsxtest.Invocation, answer json.RawMessage) {
	var published struct {
		Topic    string `json:"topic_name"`
		Messages []struct {
			Data     string `json:"data"`
			Priority int    `json:"priority"`
		} `json:"messages"`
		ByService string `json:"topic"`
		DataList  []struct {
			Data string `json:"data"`
		} `json:"data_list"` // their priorities are lost
	}
	var ids struct {
		Results []struct {
			MsgID string `json:"msg_id"`
			Known bool   `json:"known"`
		} `json:"results"`
		Out json.RawMessage `json:"out"` // a list of ids, or one
	}
	if json.Unmarshal(inv.Request, &published) != nil || json.Unmarshal(answer, &ids) != nil {
		return // the service does not publish
	}
	for i, m := range published.Messages {
		if id := ids.Results[i]; id.MsgID != "" && !id.Known {
			r.publishLater(published.Topic, m.Data, wsxtest.PublishOptions{
				MsgID: id.MsgID, Priority: m.Priority, CorrelID: inv.CID,
			})
		}
	}
	out := make([]string, 1)
	if json.Unmarshal(ids.Out, &out) != nil {
		_ = json.Unmarshal(ids.Out, &out[0])
	}
	for i, m := range published.DataList {
		r.publishLater(published.ByService, m.Data, wsxtest.PublishOptions{MsgID: out[i]})
	}
}

// publishLater publishes a message a microsecond after the one before.
func (r *replay) publishLater(topic, data string, opts wsxtest.PublishOptions) {
	<-time.After(time.Microsecond)
	_, err := r.srv.Publish(topic, data, opts)
	require.NoError(r.t, err)
}
