package wsxtest

import (
	"crypto/tls"
	"time"
)

// Option sets something up for [NewServer].
type Option func(*Server)

// WithAddress sets the TCP address to listen at, 127.0.0.1:0 by default. A port that the
// system chooses, as for 0, stays the server's until [Server.Close]. With an in-memory
// network it is the host name to listen as, "memory" by default.
func WithAddress(addr string) Option {
	return func(s *Server) { s.address = addr }
}

// WithNetwork makes the server listen on an in-memory network instead of TCP.
func WithNetwork(n *Network) Option {
	return func(s *Server) { s.network = n }
}

// WithTLS makes the server speak TLS.
func WithTLS(conf *tls.Config) Option {
	return func(s *Server) { s.tls = conf }
}

// WithChannel adds a channel. With none, there is one at "/zato.wsx.gateway" with
// the username "user1" and the secret "secret1".
func WithChannel(ch Channel) Option {
	return func(s *Server) {
		filled := withDefaults(ch)
		s.channels[filled.Path] = filled
	}
}

// WithTopic adds a topic.
func WithTopic(t Topic) Option {
	return func(s *Server) { s.broker.addTopic(t) }
}

// WithAutoCreatedTopics makes topics spring into being when first used. Without it, an
// unknown topic answers 403 to a publication and 404 to a subscription.
func WithAutoCreatedTopics() Option {
	return func(s *Server) { s.broker.autoCreate = true }
}

// WithService adds a service that clients reach through gateway channels.
func WithService(name string, service Service) Option {
	return func(s *Server) { s.services[name] = service }
}

// WithDeliveryInterval sets the time between rounds of delivery, 500 ms by
// default.
func WithDeliveryInterval(d time.Duration) Option {
	return func(s *Server) { s.deliveryInterval = d }
}

// WithTakeoverDelay sets for how long after a change of a subscription's holder
// messages still go the old way: to the former holder while it is connected, or
// lost, when in memory, if it is not. It is 300 ms by default (transcript durable).
func WithTakeoverDelay(d time.Duration) Option {
	return func(s *Server) { s.broker.takeoverDelay = d }
}

// WithDuplicates makes the server repeat messages more than it did when recorded:
// the first of a list again at its end, and every second one in the next round.
func WithDuplicates(on bool) Option {
	return func(s *Server) { s.broker.duplicates = on }
}

// WithResumeDelay sets how long resuming a subscription takes. It is 0 by
// default; the recorded server took 250 ms.
func WithResumeDelay(d time.Duration) Option {
	return func(s *Server) { s.resumeDelay = d }
}

// WithPushBeforeResponse makes messages that wait for a resumed subscription come
// before the answer to the resume, which a real server may do.
func WithPushBeforeResponse() Option {
	return func(s *Server) { s.pushBeforeResponse = true }
}

// WithFrameRecorder keeps the last n frames for [Server.Frames].
func WithFrameRecorder(n int) Option {
	return func(s *Server) { s.recorder.frameLimit = n }
}

// WithTranscriptServer sets up the channels, topics and services of the server
// that the transcripts were recorded from.
func WithTranscriptServer() Option {
	return func(s *Server) {
		credentials := Channel{Username: "user1", Secret: "secret1"}
		stock, patched, short := credentials, credentials, credentials
		stock.Path, stock.Gateway = "/my.wsx", Stock
		patched.Path = "/my.wsx.cid"
		short.Path, short.TokenTTL, short.PingInterval = "/my.wsx.short", 5*time.Second, 2*time.Second
		for _, ch := range []Channel{stock, patched, short, {Path: "/my.echo", Service: Echo}} {
			WithChannel(ch)(s)
		}
		WithTopic(Topic{Name: "/my/topic"})(s)
		WithTopic(Topic{Name: "/my/topic2"})(s)
		WithTopic(Topic{Name: "/my/topic.gd", GuaranteedDelivery: true})(s)
		for name, service := range DemoServices() {
			WithService(name, service)(s)
		}
	}
}
