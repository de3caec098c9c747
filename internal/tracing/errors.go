package tracing

import (
	"context"
	"errors"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/zato-connect/zato-connect/wsx"
)

// errorType tells errors apart by a handful of names: the status where Zato answered
// with one, else the words of the metrics as far as they go.
func errorType(err error) attribute.KeyValue {
	var server *wsx.ServerError
	switch {
	case errors.As(err, &server):
		return semconv.ErrorTypeKey.String(strconv.Itoa(server.Status))
	case errors.Is(err, wsx.ErrInvalid):
		return semconv.ErrorTypeKey.String("invalid")
	case errors.Is(err, wsx.ErrConnectionLost):
		return semconv.ErrorTypeKey.String("lost")
	case errors.Is(err, wsx.ErrNotConnected), errors.Is(err, wsx.ErrClosed), errors.Is(err, service.ErrNotConnected):
		return semconv.ErrorTypeKey.String("not_connected")
	case errors.Is(err, context.DeadlineExceeded):
		return semconv.ErrorTypeKey.String("timed_out")
	case errors.Is(err, context.Canceled):
		return semconv.ErrorTypeKey.String("cancelled")
	}
	return semconv.ErrorTypeOther
}
