package wsx

import (
	"sync/atomic"
	"time"
)

// Stats are the counters of a client, over all its connections.
type Stats struct {
	// Sessions is the number of sessions that became ready.
	Sessions int64
	// FramesIn and FramesOut count text frames. BytesIn and BytesOut count the bytes of
	// the sockets, below TLS.
	FramesIn, FramesOut, BytesIn, BytesOut int64
	// LastRead is the time of the last read with data. It is zero before the first one.
	LastRead time.Time
	// InFlight is the number of calls that the server has not answered, including those
	// whose callers gave up.
	InFlight int
}

// traffic holds the counters that all sessions of a client share.
type traffic struct {
	sessions, framesIn, framesOut, bytesIn, bytesOut atomic.Int64
	lastRead                                         atomic.Int64 // Unix time in nanoseconds
}

// Stats returns the counters of the client. They are not of one instant.
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
