package wire

// The two halves of Decode.
var (
	Split      = split
	DecodeJSON = decode
)
