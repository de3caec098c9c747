package output

import (
	"fmt"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// fieldReader interpolates fields for one message and keeps the first error.
type fieldReader struct {
	fields map[string]*service.InterpolatedString // without those that are always empty
	msg    *service.Message
	err    error
}

func (r *fieldReader) setErr(field, problem string) {
	if r.err == nil {
		r.err = &wsx.InvalidError{Field: field, Problem: problem}
	}
}

func (r *fieldReader) str(field string) string {
	interpolated := r.fields[field]
	if interpolated == nil {
		return ""
	}
	s, err := interpolated.TryString(r.msg)
	if err != nil {
		r.setErr(field, err.Error())
	}
	return s
}

// number returns a field as an integer of 1 or more, or 0 if the field is empty.
func (r *fieldReader) number(field string, allowed func() string) int64 {
	s := r.str(field)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		r.setErr(field, fmt.Sprintf("is %q: use %s, or leave it empty", s, allowed()))
	}
	return n
}

func (r *fieldReader) priority() int {
	n := r.number(fieldPriority, allowedPriority)
	if n > wsx.MaxPriority {
		r.setErr(fieldPriority, fmt.Sprintf("is %d: use %s, or leave it empty", n, allowedPriority()))
	}
	return int(n)
}

func (r *fieldReader) expiration() int64 {
	return r.number(fieldExpiration, func() string { return allowedExpiration })
}

func (r *fieldReader) guaranteed() *bool {
	s := r.str(fieldHasGD)
	if s == "" {
		return nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		r.setErr(fieldHasGD, fmt.Sprintf("is %q: use %s, or leave it empty", s, allowedHasGD))
	}
	return &b
}
