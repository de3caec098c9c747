package files

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// format finds and decodes the records of a file.
type format interface {
	// split returns the length of the first record in data, with its line ending, or 0 if the
	// record may continue after data.
	split(data []byte) int
	// decode returns the content of a record, or nil if there is no record in raw, only white
	// space. If raw cannot be decoded, it returns an error and the number of bytes that are set
	// aside; the rest of raw is read again. A fileError fails the whole file.
	decode(raw []byte) (content []byte, bad int, err error)
	// salvage is called with data that is longer than a record may be and holds no whole record.
	// It returns how much of it is set aside, and why, or 0 if the record is too long itself.
	salvage(data []byte) (bad int, err error)
	// skip returns how many bytes of data belong to a record that is too long, and whether the
	// record ends there.
	skip(data []byte) (n int, ended bool)
}

// fileError is an error because of which none of a file's records can be read.
type fileError struct{ error }

func (e *fileError) Unwrap() error { return e.error }

// headerError is the error of a table whose first row cannot be used.
func headerError(err error) *fileError {
	return &fileError{fmt.Errorf("the first row must name the columns: %w", err)}
}

// lines is the format of text files. Each line is a record.
type lines struct{}

func (lines) split(data []byte) int { return bytes.IndexByte(data, '\n') + 1 }

func (lines) decode(raw []byte) (content []byte, bad int, err error) {
	if isBlank(raw) {
		return nil, 0, nil
	}
	return withoutLineEnding(raw), 0, nil
}

func (lines) salvage([]byte) (bad int, err error) { return 0, nil }

func (lines) skip(data []byte) (n int, ended bool) {
	if n = bytes.IndexByte(data, '\n') + 1; n > 0 {
		return n, true
	}
	return len(data), false
}

// withoutLineEnding returns raw without the line feed, or the carriage return and line feed, at
// its end.
func withoutLineEnding(raw []byte) []byte {
	if rest, ended := bytes.CutSuffix(raw, []byte{'\n'}); ended {
		return bytes.TrimSuffix(rest, []byte{'\r'})
	}
	return raw
}

// isBlank reports whether there is only white space in data.
func isBlank(data []byte) bool { return len(bytes.Trim(data, " \t\r\n\v\f")) == 0 }

// table is the format of CSV files. Each row is a record, an object whose keys come from the
// first row.
type table struct {
	lines // a record that is too long ends with its line

	source bytes.Reader
	csv    *csv.Reader
	keys   [][]byte // encoded as JSON; nil before the first row
	buffer bytes.Buffer
}

// split returns the length of the lines up to the first that ends outside of quotes: in a row
// that is valid, the number of quotes is even.
func (t *table) split(data []byte) int {
	quotes := 0
	for end := 0; ; {
		n := t.lines.split(data[end:])
		if n == 0 {
			return 0
		}
		quotes += bytes.Count(data[end:end+n], []byte{'"'})
		if end += n; quotes%2 == 0 {
			return end
		}
	}
}

func (t *table) decode(raw []byte) (content []byte, bad int, err error) {
	if len(withoutLineEnding(raw)) == 0 {
		return nil, 0, nil
	}
	values, err := t.parse(raw)
	switch {
	case t.keys == nil && err != nil:
		return nil, 0, headerError(err)
	case err != nil:
		// The quotes are wrong, so the following lines may be rows of their own.
		bad, _ = t.skip(raw)
		return nil, bad, err
	case !utf8.Valid(raw):
		err = errors.New("the row is not valid UTF-8")
	case t.keys != nil && len(values) != len(t.keys):
		err = fmt.Errorf("the row has %d fields, and the first row has %d", len(values), len(t.keys))
	}
	if t.keys == nil {
		if err == nil {
			err = t.setKeys(values)
		}
		if err != nil {
			err = headerError(err)
		}
		return nil, 0, err
	}
	if err != nil {
		return nil, len(raw), err
	}
	return t.object(values), 0, nil
}

// parse returns the fields of a row.
func (t *table) parse(raw []byte) ([]string, error) {
	if t.csv == nil {
		t.csv = csv.NewReader(&t.source)
		t.csv.ReuseRecord = true
		t.csv.FieldsPerRecord = -1
	}
	// The reader turns a carriage return and a line feed into a line feed, also in quotes.
	text := withoutLineEnding(raw)
	text = append(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\r\r\n")), raw[len(text):]...)
	t.source.Reset(text)
	values, err := t.csv.Read()
	if err == nil {
		return values, nil
	}
	t.csv = nil // it has read the lines behind the error
	if syntax := (*csv.ParseError)(nil); errors.As(err, &syntax) {
		err = syntax.Err // the line numbers are not those of the file
	}
	return nil, fmt.Errorf("the quotes are wrong: %w", err)
}

func (t *table) setKeys(names []string) error {
	seen := map[string]bool{}
	keys := make([][]byte, 0, len(names))
	for _, name := range names {
		if strings.Contains(name, "\r") {
			return errors.New("the lines end with carriage returns only: convert them to line feeds")
		}
		if seen[name] {
			return fmt.Errorf("the name %q appears twice", name)
		}
		seen[name] = true
		keys = append(keys, bytes.Clone(t.encode(name)))
	}
	t.keys = keys
	return nil
}

// object returns the JSON object of a row.
func (t *table) object(values []string) []byte {
	object := []byte{'{'}
	for i, value := range values {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(append(object, t.keys[i]...), ':')
		object = append(object, t.encode(value)...)
	}
	return append(object, '}')
}

// encode returns a string as JSON. The result is valid until the next call.
func (t *table) encode(s string) []byte {
	t.buffer.Reset()
	encoder := json.NewEncoder(&t.buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can always be encoded
	return withoutLineEnding(t.buffer.Bytes())
}

func (t *table) salvage(data []byte) (bad int, err error) {
	if t.keys == nil {
		return 0, headerError(errors.New("it is longer than max_record_size"))
	}
	if n, ended := t.skip(data); ended {
		return n, errors.New("a quote is not closed within max_record_size")
	}
	return 0, nil
}

// documents is the format of files with JSON documents, one after the other.
type documents struct{}

func (documents) split(data []byte) int {
	if text := bytes.TrimLeft(data, jsonSpace); len(text) < len(data) {
		return len(data) - len(text)
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = endOfString(data, i); i < len(data) && data[i] == '\n' {
				n, ended := documents{}.skip(data[i:])
				if !ended {
					return 0
				}
				return i + n
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth <= 0 && i < len(data) && endsDocument(data, i) {
			return i + 1
		}
	}
	return 0
}

// endOfString returns the position of the quote that ends the string at i, or of a line feed,
// which no valid string contains. It returns the length of data if there is neither.
func endOfString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '"', '\n':
			return i
		case '\\':
			i++
		}
	}
	return len(data)
}

const jsonSpace = " \t\r\n"

// endsDocument reports whether a document may end with the byte at i. An object, an array and
// a string end with their last byte, and a number or a word ends before the next delimiter.
func endsDocument(data []byte, i int) bool {
	if strings.IndexByte(`}]"`, data[i]) >= 0 {
		return true
	}
	return i+1 < len(data) && strings.IndexByte(jsonSpace+`{["`, data[i+1]) >= 0
}

func (documents) decode(raw []byte) (content []byte, bad int, err error) {
	if isBlank(raw) {
		return nil, 0, nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) == nil {
		return compact.Bytes(), 0, nil
	}
	bad, err = documents{}.invalid(raw)
	return nil, bad, err
}

// invalid returns the length of an invalid document, up to the next line that begins as a
// document does and is not a part of this one, and why it is invalid.
func (documents) invalid(data []byte) (n int, err error) {
	var ignored json.RawMessage
	err = json.Unmarshal(data, &ignored)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		n = max(int(syntax.Offset)-len("{\n"), 0) // so that the line may begin with the wrong byte
	}
	more, ended := documents{}.skip(data[n:])
	if !ended {
		more = len(data) - n
	}
	return n + more, fmt.Errorf("the JSON is not valid: %w", err)
}

func (documents) salvage(data []byte) (bad int, err error) {
	if bad, err = (documents{}).invalid(data); bad == len(data) {
		return 0, nil
	}
	return bad, err
}

// skip looks for a line that begins as a document does, because nothing else tells where the
// next one begins.
func (documents) skip(data []byte) (n int, ended bool) {
	for {
		i := bytes.IndexByte(data[n:], '\n')
		if i < 0 {
			return len(data), false
		}
		if n += i + 1; n == len(data) {
			return n - 1, false // the next line may begin a document
		}
		if data[n] == '{' || data[n] == '[' {
			return n, true
		}
	}
}
