// Package otlptest is a test double of an OpenTelemetry collector: it takes traces by
// OTLP over HTTP, in protobuf, and keeps them.
package otlptest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it is sent.
type Collector struct {
	t      *testing.T
	server *httptest.Server

	// mu guards what follows.
	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	text    strings.Builder
}

// Span is a span as it was sent.
type Span struct {
	Service                  string // of its resource
	Name                     string
	Trace, ID, Parent        string // hexadecimal; a Parent of "" is none
	Kind                     string // SPAN_KIND_CONSUMER and the like
	Failed                   bool
	Status                   string // the text of a status of error
	Start, End               uint64 // nanoseconds since 1970
	Attributes, EventsByName map[string]string
}

// Start starts a collector, until the test ends.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{t: t}
	c.server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.server.Close)
	return c
}

// URL is where it takes traces.
func (c *Collector) URL() string { return c.server.URL + "/v1/traces" }

// Tracer is the field of a pipeline that sends its spans here.
func (c *Collector) Tracer() string { return fmt.Sprintf("\ntracer: { otlp: { url: %q } }\n", c.URL()) }

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if !assert.NoError(c.t, err) || !assert.NoError(c.t, proto.Unmarshal(body, &request)) ||
		!assert.Equal(c.t, "/v1/traces", r.URL.Path) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, r.Header.Clone())
	c.text.WriteString(request.String())
	for _, resource := range request.GetResourceSpans() {
		service := stringAttributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, newSpan(service, span))
			}
		}
	}
}

func newSpan(service string, s *trace.Span) Span {
	span := Span{
		Service: service, Name: s.GetName(), Kind: s.GetKind().String(),
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()),
		Failed: s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR, Status: s.GetStatus().GetMessage(),
		Start: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(),
		Attributes: stringAttributes(s.GetAttributes()), EventsByName: map[string]string{},
	}
	for _, event := range s.GetEvents() {
		span.EventsByName[event.GetName()] = stringAttributes(event.GetAttributes())["exception.message"]
	}
	return span
}

func stringAttributes(attributes []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		out[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return out
}

// Spans returns what was sent so far, in the order in which it was sent.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[:len(c.spans):len(c.spans)]
}

// Named returns the spans of a name, of which there must be n.
func (c *Collector) Named(name string, n int) []Span {
	c.t.Helper()
	var out []Span
	for _, s := range c.Spans() {
		if s.Name == name {
			out = append(out, s)
		}
	}
	require.Len(c.t, out, n, "of the name %q in %v", name, c.Spans())
	return out
}

// Headers returns those of each request.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers[:len(c.headers):len(c.headers)]
}

// Text returns all that was sent, as text, to look for what must not be in it.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
