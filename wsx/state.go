package wsx

// State says what a client is doing now. The values are in the order of a
// connection's life.
type State int

// The states of a client. Idle is the zero value: nothing was asked of it yet.
const (
	Idle          State = iota
	Dialing             // TCP, TLS and the WebSocket upgrade
	LoggingIn           // create-session
	Resubscribing       // subscriptions are taken up again
	Ready               // calls go out, messages come in
	Draining            // the connection is ending; what is in flight is read
	Waiting             // for the next attempt
	Stopped             // closed for good
)

// String returns the state in words.
func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Dialing:
		return "dialing"
	case LoggingIn:
		return "logging in"
	case Resubscribing:
		return "restoring subscriptions"
	case Ready:
		return "ready"
	case Draining:
		return "draining"
	case Waiting:
		return "waiting"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}
