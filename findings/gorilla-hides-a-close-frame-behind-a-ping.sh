#!/usr/bin/env bash
# gorilla/websocket v1.5.3, a WebSocket library for Go.
#
# A server or a proxy that finds a message too large sends a close frame with the code 1009 and resets the connection.
# The write of the client then fails, and its next read returns the close frame. But if a ping comes before the close
# frame, the read returns the error of the write again. The default handler of pings cannot send a pong, its error ends
# the stream, and the close frame stays unread.
#
# Here a client sends a large message and reads when that has failed. Seen:
#
#   close frame: websocket: close 1009 (message too big): too large
#   ping and close frame: the error of the write
#
# The documentation says that the default handler sends a pong, but not that reading ends if it cannot. For users: a
# client that reads only after a write has pings to read when it needs the reason, and takes a message that is too large
# for an outage. Set a handler that answers the ping and always returns nil. A later commit, which Redpanda Connect
# v4.110.0 selects, does so, but no release has it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/gorilla/websocket@v1.5.3

cat >main.go <<'END'
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	for name, frames := range map[string][]int{
		"close frame":          {websocket.CloseMessage},
		"ping and close frame": {websocket.PingMessage, websocket.CloseMessage},
	} {
		server := httptest.NewServer(refuse(frames))
		client, _, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
		check(err)
		check(client.SetWriteDeadline(time.Now().Add(time.Minute)))
		written := client.WriteMessage(websocket.BinaryMessage, make([]byte, 64<<20))
		if written == nil {
			check(errors.New("the message was sent"))
		}
		check(client.SetReadDeadline(time.Now().Add(time.Minute)))
		_, _, err = client.ReadMessage()
		if err != nil && err.Error() == written.Error() {
			err = errors.New("the error of the write")
		}
		fmt.Printf("%s: %v\n", name, err)
	}
}

// refuse sends frames as soon as a message begins, and resets the connection.
func refuse(frames []int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		check(err)
		_, _, err = conn.NextReader()
		check(err)
		for _, frame := range frames {
			var payload []byte
			if frame == websocket.CloseMessage {
				payload = websocket.FormatCloseMessage(websocket.CloseMessageTooBig, "too large")
			}
			check(conn.WriteControl(frame, payload, time.Now().Add(time.Minute)))
		}
		check(conn.Close())
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
END
go build -o finding .

expected='close frame: websocket: close 1009 (message too big): too large
ping and close frame: the error of the write'
seen=$(timeout 60 ./finding | sort)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
