package connection

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/throttle"
	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// settleTime is how long a connectionLog waits after an event. The end of a server ends all
	// connections within that time, and they are logged as one.
	settleTime = time.Second
	// repeatInterval is the shortest time between two equal lines.
	repeatInterval = throttle.Interval
	// maxLoggedTopics bounds the topics that a line names.
	maxLoggedTopics = 10
)

// The lines that a connectionLog writes by itself. docs/operations.md describes them.
const (
	lineNone      = "No connection to Zato"
	lineStillNone = "Still no connection to Zato"
	lineSomeDown  = "Some connections to Zato are down"
	lineRejected  = "Zato rejected the connection"
	lineConnected = "Connected to Zato"
)

// Names of the fields of these lines.
const (
	logConnections = "connections" // all of them, or those that a rejection concerns
	logDown        = "down"        // those that are not ready
	logLost        = "lost"        // those that were lost and are ready again
	logError       = "error"
	logTopic       = "topic"
	logTopics      = "topics"
	logTimes       = "times" // how often an event occurred since its last line
)

// connectionLog logs the state of all connections of a manager together, so that the number of
// lines does not depend on the number of connections. It collects events for settleTime. It then
// compares the state with the one that it logged last. It also collects the warnings of the
// clients. It writes a line once in repeatInterval at most.
type connectionLog struct {
	to *service.Logger

	// mu guards the fields below. Nothing may block while it is held, so lines are written
	// after it is released.
	mu       sync.Mutex
	closed   bool
	timer    *time.Timer // runs flush at due; nil before the first event
	due      time.Time   // zero if flush is not scheduled
	links    []*link
	logged   map[string]time.Time // when a line was last written, by its key
	warnings []*warning           // that were not written

	state     logState // as it was logged
	recheck   time.Time
	loggedErr string // the StableText of the error in the last line about state
	losses    int    // connections that were lost since then
	lossErr   error
}

// logState is the state of all connections, as far as the log is concerned.
type logState int

const (
	allUp      logState = iota
	someUp              // some connections are down, which was logged
	recovering          // the first connections are back, the others have until recheck
	noneUp
)

// link is one connection of a manager.
type link struct {
	log   *connectionLog
	topic string // or empty
	added bool   // whether it is in log.links; false before its first state

	up              bool
	cause           error  // why it is down: the first error, or the first of a rejection
	last            error  // the latest error
	loggedRejection string // the StableText of a rejection that was logged
}

// warning is a line of a client that was not written yet.
type warning struct {
	line

	topic string // or empty
	times int
}

func newConnectionLog(to *service.Logger) *connectionLog {
	return &connectionLog{to: to, logged: map[string]time.Time{}}
}

// newLink returns a link for a new connection. The topic is empty if the connection is not for a
// subscription.
func (c *connectionLog) newLink(topic string) *link { return &link{log: c, topic: topic} }

// onState takes a state that the client of the link has reported.
func (l *link) onState(state wsx.State, err error) {
	c := l.log
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case wsx.Stopped:
		c.links = slices.DeleteFunc(c.links, func(other *link) bool { return other == l })
	case wsx.Ready:
		c.add(l)
		l.up, l.loggedRejection = true, ""
		if l.cause != nil {
			c.schedule(settleTime)
		}
		l.cause, l.last = nil, nil
	case wsx.Draining, wsx.Waiting:
		c.add(l)
		if wsx.ReasonOf(err) == wsx.ReasonClosedByClient {
			return
		}
		if l.up {
			c.losses++
			c.lossErr = err
		}
		l.up, l.last = false, err
		if l.cause == nil || wsx.IsRejected(l.cause) != wsx.IsRejected(err) {
			l.cause = err
			c.schedule(settleTime)
		}
	case wsx.Idle, wsx.Dialing, wsx.LoggingIn, wsx.Resubscribing:
		c.add(l)
	}
}

// add adds a link at its first state. The mutex is held.
func (c *connectionLog) add(l *link) {
	if !l.added {
		l.added = true
		c.links = append(c.links, l)
	}
}

// warn takes a warning of a client. It writes the first one with its text at once, and collects
// those that follow it within repeatInterval, with their topics, into one line.
func (c *connectionLog) warn(l line) {
	w := &warning{line: l, topic: l.topic(), times: 1}
	c.mu.Lock()
	first := !c.closed && c.take(l.text)
	if !first {
		c.collect(w)
	}
	c.mu.Unlock()
	if first {
		l.write(c.to)
	}
}

// collect adds a warning to those that were not written. The mutex is held.
func (c *connectionLog) collect(w *warning) {
	for _, other := range c.warnings {
		if other.text == w.text && other.topic == w.topic {
			other.times++
			return
		}
	}
	c.warnings = append(c.warnings, w)
}

// topic returns the topic that the line names, or "".
func (l *line) topic() string {
	for i := 0; i+1 < len(l.fields); i += 2 {
		if topic, ok := l.fields[i+1].(string); ok && l.fields[i] == logTopic {
			return topic
		}
	}
	return ""
}

// schedule runs flush after a delay, unless it will run earlier. The mutex is held.
func (c *connectionLog) schedule(delay time.Duration) {
	due := time.Now().Add(delay)
	if c.closed || !c.due.IsZero() && !due.Before(c.due) {
		return
	}
	c.due = due
	if c.timer == nil {
		c.timer = time.AfterFunc(delay, c.flush)
		return
	}
	c.timer.Reset(delay)
}

// flush writes the lines that are due.
func (c *connectionLog) flush() {
	c.mu.Lock()
	c.due = time.Time{}
	var lines []line
	if !c.closed {
		lines = slices.Concat(c.warningLines(), c.rejectionLines(), c.stateLines())
		if wait := time.Until(c.recheck); wait > 0 && (c.state == noneUp || c.state == recovering) {
			c.schedule(wait)
		}
	}
	now := time.Now()
	maps.DeleteFunc(c.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= repeatInterval })
	c.mu.Unlock()
	for i := range lines {
		lines[i].write(c.to)
	}
}

// close writes the warnings that were collected. The clients must be closed before.
func (c *connectionLog) close() {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	lines := c.warningLines()
	c.mu.Unlock()
	for i := range lines {
		lines[i].write(c.to)
	}
}

// take reports whether a line may be written now, and notes that it is. Otherwise it schedules
// another flush. The mutex is held.
func (c *connectionLog) take(key string) bool {
	now := time.Now()
	if at, ok := c.logged[key]; ok && now.Sub(at) < repeatInterval && !c.closed {
		c.schedule(at.Add(repeatInterval).Sub(now))
		return false
	}
	c.logged[key] = now
	return true
}

// warningLines returns the lines of the collected warnings that may be written now: one for each
// text, with all topics. The mutex is held.
func (c *connectionLog) warningLines() []line {
	var texts []string
	due := map[string][]*warning{} // by text
	c.warnings = slices.DeleteFunc(c.warnings, func(w *warning) bool {
		if due[w.text] == nil {
			if !c.take(w.text) {
				return false
			}
			texts = append(texts, w.text)
		}
		due[w.text] = append(due[w.text], w)
		return true
	})
	var lines []line
	for _, text := range texts {
		l, topics, times := due[text][0].line, []string(nil), 0
		for _, w := range due[text] {
			times += w.times
			if w.topic != "" {
				topics = append(topics, w.topic)
			}
		}
		if len(topics) > 1 {
			l.fields = append(l.without(logTopic), topicFields(topics)...)
		}
		if times > 1 {
			l.fields = append(l.fields, logTimes, times)
		}
		lines = append(lines, l)
	}
	return lines
}

// without returns the fields of the line other than the one with the key.
func (l *line) without(key string) []any {
	var fields []any
	for i := 0; i+1 < len(l.fields); i += 2 {
		if l.fields[i] != key {
			fields = append(fields, l.fields[i], l.fields[i+1])
		}
	}
	return fields
}

// rejectionLines returns a line for each rejection that was not logged, with all connections
// that were rejected for the same reason. The mutex is held.
func (c *connectionLog) rejectionLines() []line {
	var lines []line
	for _, l := range c.links {
		text := l.rejection()
		if text == "" || text == l.loggedRejection || !c.take(lineRejected+text) {
			continue
		}
		var topics []string
		count := 0
		for _, other := range c.links {
			if other.rejection() == text {
				other.loggedRejection = text
				count++
				topics = appendTopic(topics, other)
			}
		}
		fields := append([]any{logConnections, count, logError, l.cause}, topicFields(topics)...)
		lines = append(lines, line{slog.LevelError, lineRejected, fields})
	}
	return lines
}

// rejection returns the text of the rejection because of which the connection is down, or "".
func (l *link) rejection() string {
	if l.up || l.cause == nil || !wsx.IsRejected(l.cause) {
		return ""
	}
	return wsx.StableText(l.cause)
}

// stateLines returns the line about a change of the state, if there is one. The mutex is held.
func (c *connectionLog) stateLines() []line {
	d := c.inspect()
	if c.state == noneUp && d.up == 0 && d.down > 0 {
		return c.stillNone(d)
	}
	next, text := c.nextState(d)
	if d.down > 0 && d.example == nil && text != lineConnected {
		text = "" // all were rejected, and the lines about that are enough
	}
	if text != "" && !c.take(text) {
		return nil
	}
	var lines []line
	if text != "" {
		lines = []line{c.stateLine(text, d)}
	}
	if next != c.state {
		c.state = next
		c.recheck = time.Now().Add(repeatInterval)
	}
	c.losses, c.lossErr = 0, nil
	return lines
}

// nextState returns the state to log, and the line about it, or "". The mutex is held.
func (c *connectionLog) nextState(d digest) (next logState, text string) {
	switch {
	case d.up == 0 && d.down == 0: // all connections were closed
		return allUp, ""
	case d.up == 0:
		return noneUp, lineNone
	case d.down > 0:
		return c.nextIfSomeAreDown()
	case c.state == recovering, c.state == allUp && c.losses == 0:
		return allUp, ""
	}
	return allUp, lineConnected
}

// nextIfSomeAreDown is nextState if some connections are up and some are down. The mutex is
// held.
func (c *connectionLog) nextIfSomeAreDown() (next logState, text string) {
	switch {
	case c.state == allUp, c.state == recovering && !time.Now().Before(c.recheck):
		return someUp, lineSomeDown
	case c.state == noneUp:
		return recovering, lineConnected
	}
	return c.state, ""
}

// stateLine returns a line about the state. The mutex is held.
func (c *connectionLog) stateLine(text string, d digest) line {
	l := line{level: slog.LevelWarn, text: text, fields: []any{logConnections, len(c.links)}}
	if text == lineConnected {
		l.level = slog.LevelInfo
	}
	if d.down > 0 {
		l.fields = append(l.fields, logDown, d.down)
		l.fields = append(l.fields, topicFields(d.topics)...)
	}
	c.loggedErr = ""
	switch {
	case text == lineConnected && d.down == 0 && c.lossErr != nil:
		l.fields = append(l.fields, logLost, c.losses, logError, c.lossErr)
	case text != lineConnected && d.example != nil:
		l.fields = append(l.fields, logError, d.example)
		c.loggedErr = wsx.StableText(d.example)
	}
	return l
}

// stillNone returns a line if there is still no connection, but for another reason than the
// one that was logged. The mutex is held.
func (c *connectionLog) stillNone(d digest) []line {
	if time.Now().Before(c.recheck) {
		return nil
	}
	c.recheck = time.Now().Add(repeatInterval)
	if d.latest == nil || wsx.StableText(d.latest) == c.loggedErr || !c.take(lineStillNone) {
		return nil
	}
	d.example = d.latest
	return []line{c.stateLine(lineStillNone, d)}
}

// digest is the state of the connections at one time.
type digest struct {
	up, down int
	topics   []string // of the connections that are down
	example  error    // why one of them is down, unless all were rejected
	latest   error    // the latest error of that one
}

// inspect returns the state of the connections. The mutex is held.
func (c *connectionLog) inspect() digest {
	var d digest
	for _, l := range c.links {
		switch {
		case l.up:
			d.up++
		case l.cause != nil:
			d.down++
			d.topics = appendTopic(d.topics, l)
			if d.example == nil && !wsx.IsRejected(l.cause) {
				d.example, d.latest = l.cause, l.last
			}
		}
	}
	return d
}

// appendTopic appends the topic of a link, if it has one.
func appendTopic(topics []string, l *link) []string {
	if l.topic == "" {
		return topics
	}
	return append(topics, l.topic)
}

// topicFields returns the field that names topics. There is none for no topic.
func topicFields(topics []string) []any {
	switch {
	case len(topics) == 0:
		return nil
	case len(topics) == 1:
		return []any{logTopic, topics[0]}
	case len(topics) > maxLoggedTopics:
		topics = append(slices.Clone(topics[:maxLoggedTopics]), "...")
	}
	return []any{logTopics, strings.Join(topics, ", ")}
}
