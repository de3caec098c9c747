// Package jsontext puts JSON on one line and changes nothing else in it. The Bloblang methods of
// the engine ignore what follows a document, and sort its keys.
package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// Register adds the method compact_json to the global environment.
func Register() error {
	spec := bloblang.NewPluginSpec().
		Category("Parsing").
		Description("Removes the white space around the values of a JSON document. Everything else stays as it is: the "+
			"digits of numbers, and the order of keys. Text that is not exactly one document is an error.").
		Example("", `root.line = content().compact_json()`)
	err := bloblang.RegisterMethodV2("compact_json", spec, func(*bloblang.ParsedParams) (bloblang.Method, error) {
		return bloblang.BytesMethod(func(text []byte) (any, error) {
			compact, err := Compact(text)
			return string(compact), err
		}), nil
	})
	if err != nil {
		return fmt.Errorf("registering the Bloblang method compact_json: %w", err)
	}
	return nil
}

// Compact returns a JSON document without the white space around its values. The digits of
// numbers and the order of keys stay as they are. Text that is not exactly one document is an
// error.
func Compact(text []byte) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(text))
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("not one JSON document: %w", err)
	}
	return out.Bytes(), nil
}
