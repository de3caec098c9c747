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

// errorType returns the error.type attribute of an error: the status code if Zato answered
// with one, and otherwise one of a few names, most of which the metrics use as well.
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
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, wsx.ErrNotRun), errors.Is(err, wsx.ErrNotFinished):
		return semconv.ErrorTypeKey.String("timed_out")
	case errors.Is(err, context.Canceled):
		return semconv.ErrorTypeKey.String("cancelled")
	}
	return semconv.ErrorTypeOther
}
