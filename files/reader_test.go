package files

import (
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// formats are the formats by the extensions of the files.
func formats() map[string]format {
	return map[string]format{".txt": lines{}, ".csv": &table{}, ".json": documents{}}
}

// readAll returns what a reader reads: a line for each record, with its line number and its
// content, or its bytes and the reason if it cannot be read, and for the error at the end.
func readAll(r *reader) []string {
	var all []string
	for {
		rec, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			return append(all, "end: "+err.Error())
		case rec.fault == nil:
			all = append(all, fmt.Sprintf("%d %s", rec.line, rec.content))
		default:
			all = append(all, fmt.Sprintf("%d! %q %s", rec.line, rawOf(r, rec), rec.fault))
		}
	}
}

// rawOf returns the bytes of a record, wherever they are.
func rawOf(r *reader, rec record) []byte {
	raw := rec.raw
	for more := rec.endless; more; {
		var part []byte
		part, more = r.rest()
		raw = append(raw, part...)
	}
	return raw
}

const longest = 40 // the size of the longest record in these tests

func TestReaderReadsAllThatItCanAndKeepsTheRest(t *testing.T) {
	long := strings.Repeat("x", 66_000)
	allowed := strings.Repeat("x", longest)
	const tooLong = " the record is longer than max_record_size (40 bytes)"
	for name, c := range map[string]struct {
		ext, content string
		want         []string
	}{
		"an empty file":          {".txt", "", nil},
		"lines":                  {".txt", "a\nb\n", []string{"1 a", "2 b"}},
		"no last line feed":      {".txt", "a\nb", []string{"1 a", "2 b"}},
		"carriage returns":       {".txt", "a\r\n\r\nb\r\n", []string{"1 a", "3 b"}},
		"a mark":                 {".txt", "\ufeffa\nb", []string{"1 a", "2 b"}},
		"only a mark":            {".csv", "\ufeff", nil},
		"white space":            {".txt", "\n \t\na\n  \n", []string{"3 a"}},
		"bytes that are no text": {".txt", "a\xff\n", []string{"1 a\xff"}},
		"the longest line":       {".txt", allowed + "\r\nb\n", []string{"1 " + allowed, "2 b"}},
		"a line that is one byte too long": {".txt", allowed + "x\nb\n", []string{
			fmt.Sprintf("1! %q", allowed+"x\n") + tooLong, "2 b",
		}},
		"a line that is much too long": {".txt", "a\n" + long + "\r\nb\n", []string{
			"1 a", fmt.Sprintf("2! %q", long+"\r\n") + tooLong, "3 b",
		}},
		"a last line that is too long": {".txt", long, []string{fmt.Sprintf("1! %q", long) + tooLong}},
		"UTF-16":                       {".txt", "\xff\xfea\x00", []string{"end: the file is UTF-16: convert it to UTF-8"}},
		"UTF-16 without a mark":        {".txt", "\x00a", []string{"end: the file is UTF-16: convert it to UTF-8"}},

		"rows": {".csv", "b,a\r\n1,\"x\"\r\n\r\n2,<>\n", []string{
			`2 {"b":"1","a":"x"}`, `4 {"b":"2","a":"<>"}`,
		}},
		"a first row only":   {".csv", "a,b", nil},
		"a mark and quotes":  {".csv", "\ufeff\"a\",b\n1,2\n", []string{`2 {"a":"1","b":"2"}`}},
		"a quoted line feed": {".csv", "a\n\"1\n\"\"2\"\n3", []string{`2 {"a":"1\n\"2"}`, `4 {"a":"3"}`}},
		"quoted carriage returns": {".csv", "a,b\r\n\"1\r\n\r\n2\",\"3\n\"\r\n", []string{
			`2 {"a":"1\r\n\r\n2","b":"3\n"}`,
		}},
		"wrong numbers of fields": {".csv", "a,b\n1\n\"2\n\",3,4\n5,6\n", []string{
			`2! "1\n" the row has 1 fields, and the first row has 2`,
			`3! "\"2\n\",3,4\n" the row has 3 fields, and the first row has 2`,
			`5 {"a":"5","b":"6"}`,
		}},
		"a quote that is not closed": {".csv", "a,b\n1,\"2\n3,4\n5,6", []string{
			`2! "1,\"2\n" the quotes are wrong: extraneous or missing " in quoted-field`,
			`3 {"a":"3","b":"4"}`, `4 {"a":"5","b":"6"}`,
		}},
		"a quote in the middle": {".csv", "a,b\n1,2\"\n3,\"4\"x\n5,6\n", []string{
			`2! "1,2\"\n" the quotes are wrong: bare " in non-quoted-field`,
			`3! "3,\"4\"x\n" the quotes are wrong: extraneous or missing " in quoted-field`,
			`4 {"a":"5","b":"6"}`,
		}},
		"a row that is no text": {".csv", "a\n\xff\n1\n", []string{`2! "\xff\n" the row is not valid UTF-8`, `3 {"a":"1"}`}},
		"a row that is too long": {".csv", "a\n\"" + long + "\n" + long + "\"\n1\n", []string{
			fmt.Sprintf("2! %q", `"`+long+"\n") + tooLong, fmt.Sprintf("3! %q", long+"\"\n") + tooLong, `4 {"a":"1"}`,
		}},
		"a name that is there twice": {".csv", "a,a\n1,2\n", []string{
			`end: the first row must name the columns: the name "a" appears twice`,
		}},
		"names that cannot be read": {".csv", "a,\"b\n1,2\n", []string{
			"end: the first row must name the columns: the quotes are wrong: " +
				`extraneous or missing " in quoted-field`,
		}},
		"lines that end with carriage returns": {".csv", "a,b\r1,2\r", []string{
			"end: the first row must name the columns: the lines end with carriage returns only: convert them to line feeds",
		}},
		"names that are too long": {".csv", long + "\n1\n", []string{
			"end: the first row must name the columns: it is longer than max_record_size",
		}},

		"documents": {".json", " {\"b\": 1.50,\n\"a\":[\"}\\\"\"]}{\"a\":1}\n12345678901234567890 true", []string{
			`1 {"b":1.50,"a":["}\""]}`, `2 {"a":1}`, `3 12345678901234567890`, `3 true`,
		}},
		"a document that is wrong": {".json", "{\"a\":x}\n{\"b\":1}\n}\n{\"c\":2}", []string{
			`1! "{\"a\":x}" the JSON is not valid: invalid character 'x' looking for beginning of value`,
			`2 {"b":1}`, `3! "}" the JSON is not valid: invalid character '}' looking for beginning of value`, `4 {"c":2}`,
		}},
		"a part of a document that is wrong": {".json", "[\n{\"a\":1},\n{\"b\":x}\n]\n{\"c\":2}", []string{
			`1! "[\n{\"a\":1},\n{\"b\":x}\n]" the JSON is not valid: invalid character 'x' looking for beginning of value`,
			`5 {"c":2}`,
		}},
		"a document that does not end": {".json", "{\"a\":{\n\"b\":1}\n{\"c\":2}\n[3]", []string{
			`1! "{\"a\":{\n\"b\":1}\n" the JSON is not valid: invalid character '{' after object key:value pair`,
			`3 {"c":2}`, "4 [3]",
		}},
		"a string that does not end": {".json", "{\"a\":\"x}\n{\"b\":\"y\"}\n", []string{
			`1! "{\"a\":\"x}\n" the JSON is not valid: invalid character '\n' in string literal`, `2 {"b":"y"}`,
		}},
		"a document that is cut off": {".json", "[1]{\"a\":", []string{
			"1 [1]", `1! "{\"a\":" the JSON is not valid: unexpected end of JSON input`,
		}},
		"a document that is too long": {".json", `{"a":"` + long + "\"}\n{\"b\":2}", []string{
			fmt.Sprintf("1! %q", `{"a":"`+long+"\"}\n") + tooLong, `2 {"b":2}`,
		}},
	} {
		for size, chunked := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
			"with the end": iotest.DataErrReader,
		} {
			t.Run(name+", "+size, func(t *testing.T) {
				assert.Equal(t, c.want, readAll(newReader(chunked(strings.NewReader(c.content)), formats()[c.ext], longest)))
			})
		}
	}
}

func TestReaderTellsWhatIsCutOff(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(bzip2.StructuralError("bad")))
	assert.Equal(t, []string{
		"1 a", `2! "b" the record is cut off: bzip2 data invalid: bad`, "end: bzip2 data invalid: bad",
	}, readAll(newReader(broken, lines{}, longest)))
}

// FuzzReader checks that each byte is in a record, whatever the file contains.
func FuzzReader(f *testing.F) {
	f.Add("a,b\n1,\"2\n3,4\n{\"a\":\n{\"b\":\"x}\n[1]\r\n\"\\\" \xff ")
	f.Fuzz(func(t *testing.T, content string) {
		for ext, format := range formats() {
			if csv, ok := format.(*table); ok {
				require.NoError(t, csv.setKeys([]string{"a", "b"}))
			}
			r := newReader(iotest.HalfReader(strings.NewReader(content)), format, longest)
			var all strings.Builder
			rec, err := r.next()
			for ; err == nil; rec, err = r.next() {
				all.Write(rawOf(r, rec))
			}
			if errors.Is(err, io.EOF) {
				want := strings.TrimPrefix(content, "\ufeff")
				assert.Equal(t, withoutSpace(want), withoutSpace(all.String()), ext)
			}
		}
	})
}

func withoutSpace(s string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", "\v", "", "\f", "").Replace(s)
}
