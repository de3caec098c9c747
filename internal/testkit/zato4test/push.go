package zato4test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"
)

// pushBatch is how many messages are pushed before they are acknowledged together.
const pushBatch = 50

// push pushes the messages of a subscription, one after the other, until the context is
// done.
func (s *Server) push(ctx context.Context, sub *subscription) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		s.mu.Lock()
		batch, wake := sub.take(pushBatch), sub.wake
		s.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-wake:
			case <-ctx.Done():
			}
			continue
		}
		var done []int
		for _, m := range batch {
			if !s.pushUntilTaken(ctx, client, sub.pushTo, m) {
				return
			}
			done = append(done, m.sequenceID)
		}
		s.mu.Lock()
		sub.acknowledge(done...)
		s.mu.Unlock()
	}
}

// pushUntilTaken repeats a message until the endpoint answers with 2xx. It returns false if
// the context is done first.
func (s *Server) pushUntilTaken(ctx context.Context, client *http.Client, url string, m *Message) bool {
	body, err := json.Marshal(m.pushed())
	if err != nil {
		s.t.Error(err)
		return false
	}
	for attempt := 0; ; attempt++ {
		if pushOnce(ctx, client, url, body) {
			return true
		}
		select {
		case <-time.After(s.retryDelays[min(attempt, len(s.retryDelays)-1)]):
		case <-ctx.Done():
			return false
		}
	}
}

func pushOnce(ctx context.Context, client *http.Client, url string, body []byte) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "python-requests/2.33.0")
	response, err := client.Do(request) // follows a 302 with a GET, as Zato does
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode/100 == 2
}

// pushed returns the body of a push.
func (m *Message) pushed() map[string]any {
	out := m.fields()
	out["data"], out["data_class"], out["data_preview"] = m.Data, "", m.Data[:min(len(m.Data), 200)]
	out["data_size"], out["sequence_id"] = utf8.RuneCountInString(m.Data), m.sequenceID
	out["publisher"], out["cid"] = m.Publisher, m.cid
	return out
}
