package connection

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// logHandler lets a client log through a component's logger.
type logHandler struct {
	to    *service.Logger
	attrs []slog.Attr
}

// newLogger makes a logger for the clients of a connection.
func newLogger(to *service.Logger) *slog.Logger {
	return slog.New(&logHandler{to: to})
}

// Enabled leaves the choice of levels to the component's logger.
func (*logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes one record.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString("Zato connection: ")
	text.WriteString(r.Message)
	write := func(a slog.Attr) bool {
		fmt.Fprintf(&text, "; %s: %v", strings.ReplaceAll(a.Key, "_", " "), a.Value.Resolve())
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	switch {
	case r.Level >= slog.LevelError:
		h.to.Error(text.String())
	case r.Level >= slog.LevelWarn:
		h.to.Warn(text.String())
	case r.Level >= slog.LevelInfo:
		h.to.Info(text.String())
	default:
		h.to.Debug(text.String())
	}
	return nil
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{to: h.to, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup does nothing: the client uses no groups.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
