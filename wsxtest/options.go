package wsxtest

import (
	"crypto/tls"
	"time"
)

// Option configures a server that [NewServer] returns.
type Option func(*Server)

// WithAddress sets the TCP address to listen on. The default is 127.0.0.1:0. If the
// port is 0, the system chooses one and it stays reserved until [Server.Close]. With
// [WithNetwork], the address is the host name to listen as, "memory" by default.
func WithAddress(addr string) Option {
	return func(s *Server) { s.address = addr }
}

// WithNetwork makes the server listen on an in-memory network instead of TCP.
func WithNetwork(n *Network) Option {
	return func(s *Server) { s.network = n }
}

// WithTLS makes the server use TLS.
func WithTLS(conf *tls.Config) Option {
	return func(s *Server) { s.tls = conf }
}

// WithChannel adds a channel. A server without this option has one channel at
// "/zato.wsx.gateway" with the username "user1" and the secret "secret1".
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

// WithAutoCreatedTopics creates topics on their first use. Without it, the server
// answers 403 to a publication to an unknown topic and 404 to a subscription.
func WithAutoCreatedTopics() Option {
	return func(s *Server) { s.broker.autoCreate = true }
}

// WithService adds a service that clients can invoke through gateway channels.
func WithService(name string, service Service) Option {
	return func(s *Server) { s.services[name] = service }
}

// WithDeliveryInterval sets how often the server pushes queued messages to a
// connection. The default is 500 ms.
func WithDeliveryInterval(d time.Duration) Option {
	return func(s *Server) { s.deliveryInterval = d }
}

// WithTakeoverDelay sets how long the server needs to notice that a subscription
// has moved to another connection. Until then it still sends messages to the
// former connection. If that one is closed, messages in memory are lost. The
// default is 300 ms (transcript durable).
func WithTakeoverDelay(d time.Duration) Option {
	return func(s *Server) { s.broker.takeoverDelay = d }
}

// WithReliableSubscriptions makes the server do better than Zato with subscriptions
// whose messages are pushed. A connection that took a subscription over still gets
// messages when the former connection has ended (transcript deaf-after-takeover). After
// a restart, durable subscriptions are still durable (transcript restart-loses-durable)
// and the others are gone (transcript restart-leaves-subscriptions). The first
// subscriber gets the messages that waited in the topic once (transcript
// right-by-priority). Messages with different priorities come once (transcript
// backlog-gd), and several subscriptions to one topic on a connection do not stop each
// other (transcript server-killed).
func WithReliableSubscriptions() Option {
	return func(s *Server) { s.broker.reliable = true }
}

// WithRegistrationDelay sets how long the server needs to know the connection of a new
// subscription, if the topic has another subscriber. Until then, messages in memory
// are lost, and a guaranteed one waits for the next publication. The default is 0. The
// recorded server needed up to 200 ms (transcripts first-message-gd-late and
// first-message-ram-lost).
func WithRegistrationDelay(d time.Duration) Option {
	return func(s *Server) { s.broker.registrationDelay = d }
}

// WithDuplicates makes the server deliver more duplicates than the recorded one. It
// repeats the first message of a list at the end of the list, and every second
// message in the next round of delivery.
func WithDuplicates(on bool) Option {
	return func(s *Server) { s.broker.duplicates = on }
}

// WithResumeDelay sets how long the server takes to resume a subscription. The
// default is 0. The recorded server took 250 ms.
func WithResumeDelay(d time.Duration) Option {
	return func(s *Server) { s.resumeDelay = d }
}

// WithCreationDelay sets how long the server takes to make a subscription that has a
// name. The default is 0. The recorded server took 1.3 s.
func WithCreationDelay(d time.Duration) Option {
	return func(s *Server) { s.creationDelay = d }
}

// WithPushBeforeResponse makes the server push the queued messages of a resumed
// subscription before its response to the resume request. A real server may do so.
func WithPushBeforeResponse() Option {
	return func(s *Server) { s.pushBeforeResponse = true }
}

// WithFrameRecorder records the last n frames for [Server.Frames].
func WithFrameRecorder(n int) Option {
	return func(s *Server) { s.recorder.frameLimit = n }
}

// WithTranscriptServer adds the channels, topics and services of the server that
// the transcripts were recorded from.
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
