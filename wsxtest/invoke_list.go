package wsxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Limits of connect.invoke.
const (
	maxInvoked           = 1000
	defaultInvokeSeconds = 20
	maxParallel          = 50
	defaultResponseBytes = 32 << 20
)

type invokeListRequest struct {
	service  string
	requests []json.RawMessage
	// limit bounds the time. Requests that have not run by then are not run.
	limit time.Duration
	// startWithin bounds the time in which requests begin. It is nil if the client did not set it.
	startWithin *time.Duration
	parallel    int
	room        responseRoom
}

// beginning returns the time in which requests begin.
func (r *invokeListRequest) beginning() time.Duration {
	if r.startWithin == nil {
		return r.limit
	}
	return min(r.limit, *r.startWithin)
}

// responseRoom bounds the sizes of the responses of a list, in bytes.
type responseRoom struct{ limit, used, largest int }

// suffices reports whether a request may begin while others run: each response may be as
// large as the largest one.
func (r *responseRoom) suffices(running int) bool {
	return r.largest*(running+1) <= r.limit-r.used
}

// add counts a response as the companion estimates its size. It returns the response, or an
// error for one that does not fit.
func (r *responseRoom) add(response listedResponse, cid string) listedResponse {
	if response.Status != http.StatusOK {
		return response
	}
	const lineIndentation, otherFields = 24, 200
	text := formatJSON(response.Response)
	size := len(text) + bytes.Count(text, []byte{'\n'})*lineIndentation + otherFields
	if r.used+size > r.limit {
		const text = "The service has run. Its response has %d bytes, more than max_bytes"
		return listedResponse{Status: http.StatusRequestEntityTooLarge, Error: fmt.Sprintf(text, size), CID: cid}
	}
	r.used += size
	r.largest = max(r.largest, size)
	return response
}

// listedResponse is the result of one request.
type listedResponse struct {
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    string          `json:"error,omitempty"`
	CID      string          `json:"cid,omitempty"`
}

// invokeList is the service connect.invoke (transcript connect-invoke).
func (c *session) invokeList(ctx context.Context, inv Invocation) (serviceOutcome, error) {
	f := newCompanionFields(inv.Request)
	req := invokeListRequest{
		service: f.required("service"), requests: f.list("requests", maxInvoked),
		limit:    min(f.seconds("seconds", 0, maxSeconds, defaultInvokeSeconds), c.longestCall()),
		parallel: min(f.whole("parallel", 1, 1), maxParallel),
		room:     responseRoom{limit: f.whole("max_bytes", 1, defaultResponseBytes)},
	}
	if within := f.seconds("start_within", 0, maxSeconds, -1); within >= 0 {
		req.startWithin = &within
	}
	if f.err != nil {
		return serviceOutcome{}, f.err
	}
	start := time.Now()
	service := c.listedService(req.service)
	responses := make([]listedResponse, len(req.requests))
	for i := range responses {
		responses[i] = listedResponse{Status: 403, Error: "not allowed", CID: inv.CID}
		if service != nil {
			responses[i] = listedResponse{Status: 0, Error: "not run"}
		}
	}
	if service != nil {
		c.runList(ctx, req, inv, service, responses)
	}
	listed := map[string]any{"responses": responses}
	if req.startWithin != nil {
		listed["duration"] = time.Since(start).Seconds()
	}
	return answer(listed)
}

// listedService returns the service that a list may invoke, or nil.
func (c *session) listedService(name string) Service {
	if name == "zato.ping" {
		return func(context.Context, Invocation) (any, error) { return pingResult, nil }
	}
	if !c.channel.allows(name) {
		return nil
	}
	return c.srv.service(name)
}

// listedCID returns the correlation id of the request at an index of a list.
func listedCID(cid string, index int) string { return fmt.Sprintf("%s-%d", cid, index) }

// indexedResponse is the response to the request at an index.
type indexedResponse struct {
	index int
	listedResponse
}

// runList runs a service for each request until the time is over. Then it returns,
// while services that run in parallel go on and their responses are lost.
func (c *session) runList(
	ctx context.Context, req invokeListRequest, inv Invocation, service Service, responses []listedResponse,
) {
	run := func(i int) listedResponse {
		item := inv
		item.Service, item.Request, item.CID = req.service, req.requests[i], listedCID(inv.CID, i)
		if isFalsy(item.Request) {
			item.Request = json.RawMessage(`""`)
		}
		item.Payload = item.Request
		return c.runListed(ctx, service, item)
	}
	if req.parallel == 1 && req.startWithin == nil {
		c.runInOrder(req, run, inv.CID, responses)
	} else {
		c.runAtOnce(req, run, inv.CID, responses)
	}
}

// runInOrder runs the requests one by one.
func (c *session) runInOrder(
	req invokeListRequest, run func(i int) listedResponse, cid string, responses []listedResponse,
) {
	startUntil := time.Now().Add(req.beginning())
	for i := range responses {
		if !time.Now().Before(startUntil) || c.isClosed() {
			return
		}
		if req.room.suffices(0) {
			responses[i] = req.room.add(run(i), listedCID(cid, i))
		}
	}
}

// runAtOnce runs several requests at once, or one that may hang.
func (c *session) runAtOnce(
	req invokeListRequest, run func(i int) listedResponse, cid string, responses []listedResponse,
) {
	startUntil := time.Now().Add(req.beginning())
	results := make(chan indexedResponse, len(responses)) // never blocks a service that is late
	timer := time.NewTimer(req.limit)
	defer timer.Stop()
	running, next := 0, 0
	for {
		for ; running < req.parallel && next < len(responses) && time.Now().Before(startUntil); next++ {
			i := next
			if !req.room.suffices(running) {
				continue
			}
			responses[i] = listedResponse{Status: 0, Error: "not finished", CID: listedCID(cid, i)}
			c.spawn(func() { results <- indexedResponse{i, run(i)} })
			running++
		}
		if running == 0 {
			return
		}
		select {
		case r := <-results:
			responses[r.index] = req.room.add(r.listedResponse, listedCID(cid, r.index))
			running--
		case <-timer.C:
			return
		case <-c.closed:
			return
		}
	}
}

// runListed runs a service for one request of a list.
func (c *session) runListed(ctx context.Context, service Service, inv Invocation) listedResponse {
	c.srv.recorder.addInvocation(inv.Service)
	if c.srv.faults.failInvocation(inv.Service) {
		return listedResponse{Status: 500, Error: "Exception: a fault of the simulator", CID: inv.CID}
	}
	out, err := runCustomService(ctx, service, inv)
	var status *StatusError
	switch {
	case errors.As(err, &status):
		return listedResponse{Status: status.Status, Error: status.Message, CID: inv.CID}
	case err != nil:
		return listedResponse{Status: 500, Error: "Exception: " + err.Error(), CID: inv.CID}
	case out.result == nil || string(out.result) == "null":
		out.result = json.RawMessage(`""`)
	}
	return listedResponse{Status: 200, Response: out.result}
}
