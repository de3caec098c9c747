package output

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// staticRule says which constant values a field accepts. Values with interpolations are
// checked for each message.
type staticRule struct {
	field   string
	pattern string // matches the values that are accepted
	allowed string // describes them
}

const (
	allowedExpiration = "a whole number of seconds, from 1"
	allowedHasGD      = "true or false"
	allowedMsgID      = "an interpolation that differs for each message"
)

func allowedPriority() string { return fmt.Sprintf("%d to %d", wsx.MinPriority, wsx.MaxPriority) }

// staticRules returns the rules of the fields. The linter and the constructor apply them.
func staticRules() []staticRule {
	const tchars = "[!#$%&'*+.^_`|~0-9A-Za-z-]+" // RFC 9110, section 5.6.2
	text := fmt.Sprintf(`(?s)^.{0,%d}$`, wsx.MaxIDLength)
	allowedText := fmt.Sprintf("up to %d characters", wsx.MaxIDLength)
	return []staticRule{
		{fieldTopic, `(?s)^.+$`, ""},
		{fieldPriority, `^([+]?0*[1-9])?$`, allowedPriority()},
		{fieldExpiration, `^([+]?0*[1-9][0-9]{0,17})?$`, allowedExpiration}, // 18 digits fit in 64 bits
		{fieldHasGD, `^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)?$`, allowedHasGD},
		{fieldMsgID, `^$`, allowedMsgID},
		{fieldCorrelID, text, allowedText},
		{fieldInReplyTo, text, allowedText},
		{
			fieldMimeType, `^(` + tchars + `/` + tchars + `([ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)?$`,
			"a type such as text/plain, without line breaks",
		},
	}
}

// lintRule returns the rule of a field in Bloblang. The linter passes the value before
// interpolation.
func lintRule(field string) string {
	for _, r := range staticRules() {
		if r.field == field {
			return fmt.Sprintf(`let text = this.string()
root = if !$text.contains("${!") && !$text.re_match(%q) { [ %q.replace_all("VALUE", $text.quote()) ] }`,
				r.pattern, field+": "+r.problem("VALUE"))
		}
	}
	return ""
}

// validateStatic returns an error for each field whose value is constant and not accepted.
func validateStatic(conf *service.ParsedConfig) error {
	var errs []error
	for _, r := range staticRules() {
		interpolated, err := conf.FieldInterpolatedString(r.field)
		if err != nil {
			return err
		}
		value, static := interpolated.Static()
		if static && !regexp.MustCompile(r.pattern).MatchString(value) {
			problem := r.problem(strconv.Quote(value))
			errs = append(errs, fmt.Errorf("field %w", &wsx.InvalidError{Field: r.field, Problem: problem}))
		}
	}
	return errors.Join(errs...)
}

// problem describes a value that is not accepted. The topic is the only field that must not
// be empty.
func (r staticRule) problem(quoted string) string {
	if r.field == fieldTopic {
		return "is empty"
	}
	return fmt.Sprintf("is %s: use %s, or leave it empty", quoted, r.allowed)
}
