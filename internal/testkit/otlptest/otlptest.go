// Package otlptest provides an OpenTelemetry collector for tests. It receives traces
// as protobuf by OTLP over HTTP and records them.
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

// Collector records the spans that it receives. Its methods are safe for concurrent
// use.
type Collector struct {
	t      *testing.T
	server *httptest.Server

	// mu guards the fields below.
	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	text    strings.Builder
}

// Span is a received span.
type Span struct {
	Service                  string // the service.name of its resource
	Name                     string
	Trace, ID, Parent        string // hexadecimal; Parent is empty for a root span
	Kind                     string // for example SPAN_KIND_CONSUMER
	Failed                   bool
	Status                   string // the message of an error status
	Start, End               uint64 // nanoseconds since 1970
	Attributes, EventsByName map[string]string
}

// Start starts a collector. It is closed when the test ends.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{t: t}
	c.server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.server.Close)
	return c
}

// URL returns the address for traces.
func (c *Collector) URL() string { return c.server.URL + "/v1/traces" }

// TracerYAML returns the YAML of a pipeline's tracer that sends its spans to the
// collector.
func (c *Collector) TracerYAML() string {
	return fmt.Sprintf("\ntracer: { otlp: { url: %q } }\n", c.URL())
}

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

// Spans returns the spans received so far, in order.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[:len(c.spans):len(c.spans)]
}

// SpansNamed returns the spans with a name. It fails the test unless there are n of them.
func (c *Collector) SpansNamed(name string, n int) []Span {
	c.t.Helper()
	var out []Span
	for _, s := range c.Spans() {
		if s.Name == name {
			out = append(out, s)
		}
	}
	require.Len(c.t, out, n, "spans with the name %q in %v", name, c.Spans())
	return out
}

// Headers returns the headers of each request.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers[:len(c.headers):len(c.headers)]
}

// Text returns all requests as text. Tests search it for secrets.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
