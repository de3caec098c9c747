package wsx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// serviceInvokeList invokes a service with a list of requests.
const serviceInvokeList = "connect.invoke"

// maxListSize is the size of the requests of one list, in bytes. The server decodes a frame
// in one piece and does nothing else meanwhile.
const maxListSize = 1 << 20

// ListCall invokes a service with a list of requests in one call.
type ListCall struct {
	// Service is the name of the service.
	Service string
	// Requests are values as in Call.Request. The service gets "" for one that Python takes
	// for false.
	Requests []any
	// Parallel is how many of the requests the server runs at once. Zero means one.
	Parallel int
	// StartWithin bounds the time in which the server begins requests. What has not begun
	// by then is not run. Zero means that there is no such bound.
	StartWithin time.Duration
	// Deadline, if set, is when the call is abandoned, as Call.Deadline.
	Deadline time.Time
}

// ListResponse is the answer to a ListCall.
type ListResponse struct {
	// Results has one result for each request, in their order.
	Results []ListResult
	// Duration is how long the server took. It is zero without ListCall.StartWithin.
	Duration time.Duration
}

// ListResult is the outcome of one request of a list. Exactly one of its fields is set.
type ListResult struct {
	Response *Response
	// Err is what Call would return, or it matches ErrNotRun or ErrNotFinished.
	Err error
}

// InvokeList invokes a service with a list of requests. The gateway must have
// AbilityInvokeList; otherwise the error is ErrNotOffered.
//
// One request never fails another. These have bounds: the number of requests
// (Limits.InvokeRequests), their size (1 MiB), the size of the answer
// (Config.MaxMessageSize), and the time. What exceeds a bound has ErrNotRun, and can be sent
// again without harm. The first request is always sent. The server answers shortly before
// the deadline, and after three seconds more than its ping interval at the latest. What still
// runs then has ErrNotFinished.
//
// InvokeList waits and fails as Call does. After such a failure, any of the requests may have
// run, unless SendStatusOf says otherwise.
func (c *Client) InvokeList(ctx context.Context, call ListCall) (ListResponse, error) {
	op := operation{"invoking", call.Service}
	deadline := c.callDeadline(ctx, call.Deadline)
	limits, err := c.listLimits(ctx, op, deadline)
	if err != nil {
		return ListResponse{}, err
	}
	list := requestList{op: op, results: make([]ListResult, len(call.Requests))}
	list.encode(call.Requests, limits.InvokeRequests)
	if len(list.sent) == 0 {
		return ListResponse{Results: list.results}, nil
	}
	// With a tenth less than the time that is left, what has run is not lost with the rest.
	seconds := timeLeft(ctx, deadline).Seconds() * 9 / 10
	data := wire.Invocation(serviceInvokeList, list.request(&call, seconds, c.cfg.MaxMessageSize))
	resp, err := c.do(ctx, op, "", deadline.at, &data)
	if refused, answered := asAnswer(err); answered &&
		(refused.Status == http.StatusForbidden || refused.Status == http.StatusNotFound) {
		return ListResponse{}, fmt.Errorf("%s: %w: %w", op, ErrNotOffered, refused)
	}
	if err != nil {
		return ListResponse{}, err
	}
	duration, err := list.read(resp)
	if err != nil {
		return ListResponse{}, fmt.Errorf("%s: reading the answer: %w", op, err)
	}
	return ListResponse{list.results, duration}, nil
}

// listLimits returns the limits of a gateway that can invoke lists.
func (c *Client) listLimits(ctx context.Context, op operation, deadline callDeadline) (Limits, error) {
	ctx, cancel := deadline.context(ctx)
	defer cancel()
	d, err := c.Describe(ctx)
	if err == nil && !d.Offers(AbilityInvokeList) {
		err = ErrNotOffered
	}
	if err != nil {
		// Nothing of the list was sent, whatever the error says of the description.
		return Limits{}, &CallError{Op: op.String(), SendStatus: NotSent, Err: err}
	}
	return d.Limits, nil
}

// timeLeft returns the time until a call is abandoned.
func timeLeft(ctx context.Context, deadline callDeadline) time.Duration {
	if at, has := ctx.Deadline(); has && (deadline.at.IsZero() || at.Before(deadline.at)) {
		return time.Until(at)
	}
	return time.Until(deadline.at)
}

// requestList is a list on its way to the server.
type requestList struct {
	op      operation
	results []ListResult
	sent    []int // indexes of the requests that are sent
	texts   []byte
}

// encode encodes the requests that can be sent, up to most, and gives the others a result.
func (l *requestList) encode(requests []any, most int) {
	for i, r := range requests {
		if len(l.sent) == most {
			l.results[i].Err = l.notRun()
			continue
		}
		call := Call{Request: r}
		data, err := call.data()
		switch {
		case err != nil:
			l.results[i].Err = fmt.Errorf("%s: %w", l.op, err)
		case len(l.sent) > 0 && len(l.texts)+len(data.JSON) > maxListSize:
			l.results[i].Err = l.notRun()
		default:
			l.append(i, data.JSON)
		}
	}
}

func (l *requestList) append(index int, request json.RawMessage) {
	if len(l.sent) > 0 {
		l.texts = append(l.texts, ',')
	}
	if request == nil {
		request = json.RawMessage("null")
	}
	l.texts = append(l.texts, request...)
	l.sent = append(l.sent, index)
}

func (l *requestList) notRun() error {
	return &CallError{Op: l.op.String(), SendStatus: NotSent, Err: ErrNotRun}
}

// request returns the request of serviceInvokeList. seconds is how long the server may take.
func (l *requestList) request(call *ListCall, seconds float64, maxMessageSize int64) json.RawMessage {
	out := make([]byte, 0, len(l.texts)+256)
	out = wire.AppendText(append(out, '{'), "service", call.Service)
	out = append(out, `,"requests":[`...)
	out = append(append(out, l.texts...), ']')
	out = wire.AppendNumber(out, "parallel", int64(call.Parallel))
	out = wire.AppendNumber(out, "max_bytes", max(1, maxMessageSize*3/4))
	out = fmt.Appendf(out, `,"seconds":%.3f`, max(0, seconds))
	if call.StartWithin > 0 {
		out = fmt.Appendf(out, `,"start_within":%.3f`, call.StartWithin.Seconds())
	}
	return append(out, '}')
}

// listedResponse is the server's response to one request.
type listedResponse struct {
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"`
	Error    string          `json:"error"`
	CID      string          `json:"cid"`
}

// textNotFinished is the error of a request that runs on. That of the others whose status is 0
// is "not run" (docs/protocol.md, "connect.publish, connect.invoke").
const textNotFinished = "not finished"

// read reads the results from the answer.
func (l *requestList) read(resp *Response) (duration time.Duration, err error) {
	var answer struct {
		Responses []listedResponse `json:"responses"`
		Duration  float64          `json:"duration"`
	}
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return 0, err
	}
	if len(answer.Responses) != len(l.sent) {
		return 0, fmt.Errorf("it has %d responses to %d requests", len(answer.Responses), len(l.sent))
	}
	for i, r := range answer.Responses {
		l.results[l.sent[i]] = l.result(resp.MessageID, r)
	}
	return time.Duration(answer.Duration * float64(time.Second)), nil
}

func (l *requestList) result(id string, r listedResponse) ListResult {
	switch {
	case r.Status == http.StatusOK:
		return ListResult{Response: &Response{Data: r.Response, Status: r.Status, MessageID: id}}
	case r.Status != 0:
		return ListResult{Err: fmt.Errorf("%s: %w", l.op, &ServerError{r.Status, r.Error, r.CID})}
	case r.Error == textNotFinished:
		return ListResult{Err: &CallError{Op: l.op.String(), Err: ErrNotFinished}}
	}
	return ListResult{Err: l.notRun()}
}
