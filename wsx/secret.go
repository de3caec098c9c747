package wsx

// redacted is what every secret prints as.
const redacted = "***"

// Secret is a text that must not appear in a log, a metric or an error. It prints as
// ***, with every verb and encoder. Reveal returns the text.
type Secret string

// SubKey is the key of a subscription at the server. It is a secret because whoever has
// it can take over the subscription.
type SubKey = Secret

// String returns *** for a secret that is not empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString returns the same as String.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns the same as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
