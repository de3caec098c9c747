package connection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsx"
)

var errLost = errors.New("the connection ended without a close frame")

// logTester is a connectionLog with links, and what it has written in JSON.
type logTester struct {
	*connectionLog

	t      *testing.T
	output logtest.Buffer
	links  []*link
	read   int // bytes of output that parse has returned
}

// withLog runs a test in virtual time, with one ready connection for each topic.
func withLog(t *testing.T, topics []string, test func(*logTester)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &logTester{t: t}
		handler := slog.NewJSONHandler(&l.output, &slog.HandlerOptions{Level: slog.LevelInfo})
		l.connectionLog = newConnectionLog(service.NewLoggerFromSlog(slog.New(handler)))
		defer l.close()
		for _, topic := range topics {
			l.links = append(l.links, l.newLink(topic))
		}
		l.report(wsx.Ready, nil, l.links...)
		test(l)
	})
}

// report reports a state of links.
func (*logTester) report(state wsx.State, err error, links ...*link) {
	for _, k := range links {
		k.onState(state, err)
	}
}

// restart loses all connections, and restores them after an outage.
func (l *logTester) restart(outage time.Duration) {
	l.report(wsx.Draining, errLost, l.links...)
	l.report(wsx.Waiting, errLost, l.links...)
	pass(outage)
	l.report(wsx.Ready, nil, l.links...)
}

// written lets d pass, and returns the lines that were written since the last call, in short.
func (l *logTester) written(d time.Duration) []string {
	l.t.Helper()
	pass(d)
	synctest.Wait()
	var out []string
	for _, fields := range l.parse() {
		words := []string{fmt.Sprint(fields["level"]), fmt.Sprint(fields["msg"])}
		for _, name := range []string{logConnections, logDown, logLost, logTimes, logTopic, logTopics} {
			if value, ok := fields[name]; ok {
				words = append(words, fmt.Sprintf("%s=%v", name, value))
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// parse returns the lines that were written since the last call, and checks that the fields of a
// connection are fields of the line.
func (l *logTester) parse() []map[string]any {
	l.t.Helper()
	var out []map[string]any
	output := l.output.String()
	for text := range strings.Lines(output[l.read:]) {
		fields := map[string]any{}
		require.NoError(l.t, json.Unmarshal([]byte(text), &fields))
		out = append(out, fields)
	}
	l.read = len(output)
	return out
}

// pass lets a virtual duration pass.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the time is virtual

func withoutTopics(n int) []string { return make([]string, n) }

func TestRestartOfAServerIsTwoLinesHoweverManyConnectionsThereAre(t *testing.T) {
	for _, n := range []int{1, 8, 100} {
		withLog(t, withoutTopics(n), func(l *logTester) {
			l.restart(5 * time.Second)
			assert.Equal(t, []string{
				fmt.Sprintf("WARN No connection to Zato connections=%d down=%d", n, n),
				fmt.Sprintf("INFO Connected to Zato connections=%d", n),
			}, l.written(time.Hour))
		})
	}
}

func TestConnectionsThatAreBackAtOnceAreOneLine(t *testing.T) {
	withLog(t, withoutTopics(8), func(l *logTester) {
		l.restart(0)
		assert.Equal(t, []string{"INFO Connected to Zato connections=8 lost=8"}, l.written(time.Hour))
	})
}

func TestNoLineIsRepeatedWithinAMinute(t *testing.T) {
	withLog(t, withoutTopics(8), func(l *logTester) {
		for range 10 { // within 50 seconds
			l.restart(3 * time.Second)
			pass(2 * time.Second)
		}
		assert.Equal(t, []string{
			"WARN No connection to Zato connections=8 down=8", "INFO Connected to Zato connections=8",
		}, shorten(l.written(0)))
		assert.Equal(t, []string{"INFO Connected to Zato connections=8 lost=72"}, l.written(time.Hour))
	})
}

// shorten removes the number of lost connections.
func shorten(lines []string) []string {
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], " lost=")
	}
	return lines
}

func TestOutageWithinAMinuteOfTheLastOneIsLoggedWhenTheMinuteIsOver(t *testing.T) {
	withLog(t, withoutTopics(2), func(l *logTester) {
		l.restart(5 * time.Second)
		pass(5 * time.Second)
		assert.Len(t, l.written(0), 2)
		l.report(wsx.Draining, errLost, l.links...)
		assert.Empty(t, l.written(50*time.Second))
		assert.Equal(t, []string{"WARN No connection to Zato connections=2 down=2"}, l.written(2*time.Second))
	})
}

func TestConnectionsThatComeBackOneByOneAreOneLine(t *testing.T) {
	withLog(t, withoutTopics(8), func(l *logTester) {
		l.report(wsx.Draining, errLost, l.links...)
		assert.Len(t, l.written(2*time.Second), 1)
		for i, k := range l.links {
			l.report(wsx.Ready, nil, k)
			if i > 0 {
				assert.Empty(t, l.written(2*time.Second))
				continue
			}
			assert.Equal(t, []string{"INFO Connected to Zato connections=8 down=7"}, l.written(2*time.Second))
		}
		assert.Empty(t, l.written(time.Hour))
	})
}

func TestConnectionThatDiffersIsLoggedWithItsTopic(t *testing.T) {
	withLog(t, []string{"/a", "/b", "/c"}, func(l *logTester) {
		l.report(wsx.Draining, errLost, l.links[1])
		assert.Equal(t, []string{"WARN Some connections to Zato are down connections=3 down=1 topic=/b"},
			l.written(time.Hour))
		l.report(wsx.Ready, nil, l.links[1])
		assert.Equal(t, []string{"INFO Connected to Zato connections=3"}, l.written(time.Hour))

		l.report(wsx.Draining, errLost, l.links...)
		l.written(2 * time.Second)
		l.report(wsx.Ready, nil, l.links[0])
		assert.Equal(t, []string{"INFO Connected to Zato connections=3 down=2 topics=/b, /c"}, l.written(2*time.Second))
		l.report(wsx.Ready, nil, l.links[2])
		assert.Equal(t, []string{"WARN Some connections to Zato are down connections=3 down=1 topic=/b"},
			l.written(time.Hour))
	})
}

func TestRejectionIsOneErrorForAllConnections(t *testing.T) {
	withLog(t, []string{"", "", "/a", "/b"}, func(l *logTester) {
		rejection := func(cid string) error {
			return fmt.Errorf("%w: %w", wsx.ErrLoginRefused, &wsx.ServerError{Status: 401, Text: "no", CID: cid})
		}
		l.report(wsx.Draining, errLost, l.links...)
		for i, k := range l.links {
			l.report(wsx.Waiting, rejection(fmt.Sprint("cid", i)), k)
		}
		assert.Equal(t, []string{"ERROR Zato rejected the connection connections=4 topics=/a, /b"}, l.written(time.Second))
		l.report(wsx.Waiting, rejection("cid9"), l.links...)
		assert.Empty(t, l.written(time.Hour))
		l.report(wsx.Ready, nil, l.links...)
		assert.Equal(t, []string{"INFO Connected to Zato connections=4"}, l.written(time.Hour))
	})
}

func TestNewReasonOfAnOutageIsLogged(t *testing.T) {
	withLog(t, withoutTopics(2), func(l *logTester) {
		l.report(wsx.Draining, errLost, l.links...)
		assert.Len(t, l.written(2*time.Second), 1)
		l.report(wsx.Waiting, errors.New("connection refused"), l.links...)
		pass(time.Hour)
		synctest.Wait()
		lines := l.parse()
		require.Len(t, lines, 1)
		assert.Equal(t, "Still no connection to Zato", lines[0]["msg"])
		assert.Equal(t, "connection refused", lines[0]["error"])
	})
}

func TestClosedConnectionsAreNotLogged(t *testing.T) {
	withLog(t, withoutTopics(2), func(l *logTester) {
		l.report(wsx.Draining, wsx.ErrClosed, l.links...)
		l.report(wsx.Stopped, wsx.ErrClosed, l.links...)
		assert.Empty(t, l.written(time.Hour))
	})
}

func TestWarningsOfClientsAreGroupedByTextAndTopic(t *testing.T) {
	withLog(t, nil, func(l *logTester) {
		for range 5 {
			for _, topic := range []string{"/a", "/b", "/c"} {
				newLogger(l.connectionLog, slog.LevelError).With(logTopic, topic).Warn("messages may be lost", "error", errLost)
			}
			newLogger(l.connectionLog, slog.LevelError).Warn("too many", "limit", 7)
		}
		assert.Equal(t, []string{
			"WARN Zato connection: messages may be lost topic=/a",
			"WARN Zato connection: too many",
		}, l.written(2*time.Second))
		assert.Equal(t, []string{
			"WARN Zato connection: messages may be lost times=14 topics=/b, /c, /a",
			"WARN Zato connection: too many times=4",
		}, l.written(time.Hour))
	})
}

func TestAttributesOfAClientAreFields(t *testing.T) {
	withLog(t, nil, func(l *logTester) {
		newLogger(l.connectionLog, slog.LevelError).Warn("ignored a frame of an unknown type", "msg_type", "zwsx.new")
		var fields map[string]any
		require.NoError(t, json.Unmarshal(bytes.TrimSpace([]byte(l.output.String())), &fields))
		assert.Equal(t, "Zato connection: ignored a frame of an unknown type", fields["msg"])
		assert.Equal(t, "zwsx.new", fields["msg_type"])
	})
}
