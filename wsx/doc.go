// Package wsx is a client of Zato's WebSocket channels (WSX): it invokes
// services, publishes messages, receives topics and answers requests from the
// server.
//
// A [Client] keeps one connection, logs in, answers the server's pings, and
// connects again with exponential back-off when the connection ends, with its
// subscriptions restored. Facts about the wire that comments cite are in
// docs/protocol.md of this project.
package wsx
