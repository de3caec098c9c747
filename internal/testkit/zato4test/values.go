package zato4test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// loneSurrogate is the member that marks a request with half of a surrogate pair, which a
// Go string cannot contain.
const loneSurrogate = "\x00lone surrogate"

// maxExpiration is the last second of the year 9999, roughly.
const maxExpiration = 250_000_000_000

// respond answers with JSON, indented as Zato does.
func respond(w http.ResponseWriter, status int, answer any) {
	body, err := json.MarshalIndent(answer, "", "    ")
	if err != nil {
		body = []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// refuse answers that pub/sub refuses a request.
func refuse(w http.ResponseWriter, status int, details string) {
	respond(w, status, map[string]any{
		"is_ok": false, "details": details, "status": strconv.Itoa(status) + " " + http.StatusText(status),
	})
}

// fail answers that a service raised an exception.
func fail(w http.ResponseWriter, cid string, details ...any) {
	respond(w, http.StatusInternalServerError, failure(cid, details))
}

// unauthorized answers that a channel refuses the credentials.
func unauthorized(w http.ResponseWriter, cid string) {
	respond(w, http.StatusUnauthorized, failure(cid, "Unauthorized; cid="+cid))
}

func failure(cid string, details any) map[string]any {
	return map[string]any{"result": "Error", "cid": cid, "details": details}
}

// priority returns the priority of a message. An invalid one becomes the default.
func priority(fields map[string]any) int {
	value, err := integer(fields, "priority", defaultPriority)
	if err != nil || value < 0 || value > 9 {
		return defaultPriority
	}
	return value
}

// expiration returns the expiration of a message in seconds.
func expiration(fields map[string]any) int {
	value, err := integer(fields, "expiration", defaultExpiration)
	if err != nil {
		return defaultExpiration
	}
	return max(value, 1)
}

// integer returns a member as Python's int does. A missing member, and zero in the case of
// a limit, is the default.
func integer(fields map[string]any, name string, fallback int) (int, error) {
	value, given := fields[name]
	if !given {
		return fallback, nil
	}
	text := strings.TrimSpace(fmt.Sprint(value))
	if number, ok := value.(json.Number); ok {
		if f, err := number.Float64(); err == nil && math.Abs(f) < 1e15 {
			text = strconv.Itoa(int(f))
		}
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("invalid literal for int() with base 10: '%v'", value)
	}
	if number == 0 && strings.HasPrefix(name, "max_") {
		return fallback, nil
	}
	return number, nil
}

// pythonJSON returns the JSON of a value as Python writes it, with spaces and in ASCII.
func pythonJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	inString := false
	for i, c := range string(text) {
		switch {
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			inString = !inString
			out.WriteRune(c)
		case c > 127:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			out.WriteRune(c)
			if !inString && (c == ',' || c == ':') {
				out.WriteByte(' ')
			}
		}
	}
	return out.String()
}
