package wsx

// State is what a client is doing. The states are in the order in which a connection
// passes through them.
type State int

// The states of a client. Idle is the zero value: the client was not used yet.
const (
	Idle          State = iota
	Dialing             // opening TCP, TLS and the WebSocket
	LoggingIn           // creating the session
	Resubscribing       // restoring the subscriptions
	Ready               // calls go out, messages come in
	Draining            // reading what was in flight when the connection ended
	Waiting             // for the next attempt to connect
	Stopped             // by Close
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
