// Package wsx is a client for the WebSocket channels (WSX) of Zato. It invokes services,
// publishes messages, receives topics and responds to requests from the server.
//
// A [Client] keeps one connection open. It logs in, answers the server's pings and
// reconnects with exponential back-off when the connection ends. After a reconnect it
// restores its subscriptions.
//
// Comments that name docs/protocol.md refer to a page of this project. The page says how
// each fact about the protocol is known.
package wsx
