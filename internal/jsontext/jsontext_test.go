package jsontext

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompactJSONChangesNothingButWhiteSpace(t *testing.T) {
	require.NoError(t, Register())
	mapping, err := bloblang.Parse(`root = this.compact_json()`)
	require.NoError(t, err)
	for text, want := range map[string]string{
		"{\"b\": 1.50,\r\n \"a\":[ 1e400 ],\"c\":\" <x\\n \"}\n": `{"b":1.50,"a":[1e400],"c":" <x\n "}`,
		"null": "null",
	} {
		got, err := mapping.Query(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "0123", "true story", "{\"a\":1}\n{\"a\":2}", "[1] x", "1]"} {
		_, err := mapping.Query(text)
		require.ErrorContains(t, err, "not one JSON document", text)
	}
}
