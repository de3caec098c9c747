// Package wsxtest provides a Zato WebSocket (WSX) server for tests, as
// net/http/httptest does for HTTP.
//
// The server behaves like Zato 3.3, including its defects. The behaviour was
// recorded from a real server (testdata/transcripts) and is described in
// docs/protocol.md. Tests can also make the server fail, with methods such as
// [Server.Cut], [Server.Freeze] and [Server.DropResponses].
//
// A [Server] listens on TCP by default. A test that runs in a testing/synctest
// bubble uses an in-memory [Network] instead. The server measures time with
// package time only, so it follows the virtual clock of a bubble.
package wsxtest
