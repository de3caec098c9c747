// Package wsxtest provides a Zato WebSocket (WSX) server for tests, as
// net/http/httptest does for HTTP. It shows the behaviour of Zato 3.3 as it was
// recorded (testdata/transcripts; docs/protocol.md), its defects included, and
// faults on command.
//
// A [Server] listens on TCP, or on an in-memory [Network] where a test runs in
// a testing/synctest bubble. All its waiting is done with package time, so that
// it follows a bubble's virtual clock.
package wsxtest
