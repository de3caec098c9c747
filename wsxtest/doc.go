// Package wsxtest is a Zato server for tests, as net/http/httptest is a web
// server for tests: its WebSocket channels (WSX) log in, run services, publish
// and deliver messages as a real Zato 3.3 does, its defects included, and fail
// on command.
//
// It is held to the truth by the recordings in testdata/transcripts, each of
// which is replayed against it. A comment that names one of them says where the
// behaviour was seen. It has frame structs of its own and knows nothing of
// package wsx, so that a mistake in the client's shows.
package wsxtest
