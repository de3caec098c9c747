package connection

import (
	"context"
	"log/slog"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// logHandler is a slog.Handler for the clients of a manager. It passes warnings to the manager's
// connectionLog, and the rest to the component's logger at DEBUG.
type logHandler struct {
	to    *connectionLog
	limit slog.Level // the highest level of a line
	attrs []slog.Attr
}

// newLogger returns a logger for the clients of a manager. No line has a level above limit.
func newLogger(to *connectionLog, limit slog.Level) *slog.Logger {
	return slog.New(&logHandler{to: to, limit: limit})
}

// Enabled returns true: the component's logger filters levels.
func (*logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle logs a record with its attributes as fields.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	l := line{level: min(r.Level, h.limit), text: "Zato connection: " + r.Message}
	add := func(a slog.Attr) bool {
		if !slices.Contains(l.fields, any(a.Key)) { // a client of a topic may name it too
			l.fields = append(l.fields, a.Key, a.Value.Resolve().Any())
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if l.level >= slog.LevelWarn {
		h.to.warn(l)
		return nil
	}
	l.level = slog.LevelDebug
	l.write(h.to.to)
	return nil
}

// WithAttrs returns a handler that adds attrs to every record.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{to: h.to, limit: h.limit, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup ignores the group, because clients use none.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// line is a line of a log.
type line struct {
	level  slog.Level
	text   string
	fields []any // keys and values
}

// write writes the line to a component's logger.
func (l *line) write(to *service.Logger) {
	to = to.With(l.fields...)
	switch {
	case l.level >= slog.LevelError:
		to.Error(l.text)
	case l.level >= slog.LevelWarn:
		to.Warn(l.text)
	case l.level >= slog.LevelInfo:
		to.Info(l.text)
	default:
		to.Debug(l.text)
	}
}
