package wsxtest

import (
	"encoding/json"
	"fmt"
	"time"
)

// companionFields reads the fields of a request to a companion service. Null is the
// same as a field that is missing. The first mistake is kept in err.
type companionFields struct {
	values map[string]json.RawMessage
	err    error
}

func newCompanionFields(request json.RawMessage) *companionFields {
	f := &companionFields{}
	if !isFalsy(request) && json.Unmarshal(request, &f.values) != nil {
		f.err = badRequest("The request must be an object")
	}
	return f
}

// read decodes a field into a value, which stays as it is if the field is missing. Valid
// reports whether the decoded value is allowed.
func (f *companionFields) read(name, kind string, value any, valid func() bool) {
	raw := f.values[name]
	if raw == nil || string(raw) == "null" || f.err != nil {
		return
	}
	if json.Unmarshal(raw, value) != nil || valid != nil && !valid() {
		f.err = badRequest("%s must be %s", name, kind)
	}
}

func (f *companionFields) text(name string) string {
	var value string
	f.read(name, "a text", &value, nil)
	return value
}

func (f *companionFields) required(name string) string {
	value := f.text(name)
	if raw := f.values[name]; f.err == nil && (raw == nil || string(raw) == "null") {
		f.err = badRequest("%s is missing", name)
	}
	return value
}

func (f *companionFields) flag(name string) bool {
	var value bool
	f.read(name, "true or false", &value, nil)
	return value
}

// list reads a list that has to be there.
func (f *companionFields) list(name string, limit int) []json.RawMessage {
	var value []json.RawMessage
	kind := fmt.Sprintf("a list of at most %d %s", limit, name)
	f.read(name, kind, &value, func() bool { return len(value) <= limit })
	if f.err == nil && value == nil {
		f.err = badRequest("%s is missing", name)
	}
	return value
}

// holder reads a holder, nil if there is none.
func (f *companionFields) holder() *string {
	var value *string
	f.read("holder", "a text", &value, nil)
	return value
}

func (f *companionFields) ids(name string) []string {
	var value []string
	kind := fmt.Sprintf("a list of at most %d ids", maxIDs)
	f.read(name, kind, &value, func() bool { return len(value) <= maxIDs })
	return value
}

// whole reads a whole number that is at least low.
func (f *companionFields) whole(name string, low, value int) int {
	f.read(name, fmt.Sprintf("a whole number, at least %d", low), &value, func() bool { return value >= low })
	return value
}

// maxSeconds is the longest time that a companion service accepts.
const maxSeconds = 1e9

// seconds reads a number of seconds.
func (f *companionFields) seconds(name string, low, high, value float64) time.Duration {
	kind := fmt.Sprintf("a number from %g to %g", low, high)
	f.read(name, kind, &value, func() bool { return value >= low && value <= high })
	return seconds(value)
}

func badRequest(format string, args ...any) error {
	return &StatusError{400, fmt.Sprintf(format, args...)}
}
