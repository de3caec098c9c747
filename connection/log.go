package connection

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// logHandler is a slog.Handler that writes to a component's logger.
type logHandler struct {
	to    *service.Logger
	attrs []slog.Attr
}

// newLogger returns a logger for the clients of a manager.
func newLogger(to *service.Logger) *slog.Logger {
	return slog.New(&logHandler{to: to})
}

// Enabled returns true: the component's logger filters levels.
func (*logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a record as one line, with its attributes after the message.
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

// WithAttrs returns a handler that adds attrs to every record.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{to: h.to, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup ignores the group, because clients use none.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
