package wsx

import (
	"sync/atomic"
	"time"
)

// Stats is what went over a client's connections so far, and what it is doing.
type Stats struct {
	// Sessions is how many were opened.
	Sessions int64
	// FramesIn and FramesOut count text frames, BytesIn and BytesOut all that was read
	// from and written to sockets, below TLS.
	FramesIn, FramesOut, BytesIn, BytesOut int64
	// LastRead is when something came last. It is zero before the first time.
	LastRead time.Time
	// InFlight is how many calls the server has and has not answered, with those that
	// their callers gave up.
	InFlight int
}

// traffic counts. It is shared by all sessions of a client.
type traffic struct {
	sessions, framesIn, framesOut, bytesIn, bytesOut atomic.Int64
	lastRead                                         atomic.Int64 // Unix time in nanoseconds
}

// Stats returns what the client has counted. The numbers are not of one instant.
func (c *Client) Stats() Stats {
	t := &c.traffic
	out := Stats{
		Sessions: t.sessions.Load(),
		FramesIn: t.framesIn.Load(), FramesOut: t.framesOut.Load(),
		BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load(),
	}
	if last := t.lastRead.Load(); last != 0 {
		out.LastRead = time.Unix(0, last)
	}
	if s := c.current.Load(); s != nil {
		out.InFlight = len(s.pending.slots)
	}
	return out
}
