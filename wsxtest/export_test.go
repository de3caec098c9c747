package wsxtest

import "time"

// WithFirstRound sets when the first round of delivery comes after a subscription. On a
// real server, this differs.
func WithFirstRound(d time.Duration) Option {
	return func(s *Server) { s.firstRound = d }
}
