package wsx

// redacted is what a secret prints as, whatever the verb or the encoder.
const redacted = "***"

// Secret is a text that must appear in no log, metric or error. It prints as
// ***; Reveal gives the text itself.
type Secret string

// SubKey names one subscription at the server. Whoever holds it can take the
// subscription over, so it is a secret too.
type SubKey = Secret

// String returns *** for a secret that is set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for encoders and structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
