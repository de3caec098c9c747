//go:build unix

package zato_test

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// The fields of the input for each way to receive.
const (
	fetchedFields = "subscription: NAME"
	sharedFields  = "subscription: NAME\nshared: true"
	pushedFields  = "durable: false"
	journalFields = "durable: false\njournal: { path: \"FOLDER/journal\" }"
	durableFields = "cache: keys\njournal: { path: \"FOLDER/journal\" }"
	cacheFields   = "cache: keys"
)

// fetchedRows returns the rows whose messages are fetched. The consumers have neither a journal nor a cache.
func fetchedRows() []*row {
	var rows []*row
	add := func(input, fields string, f fault) {
		rows = append(rows, &row{gateway: "connect", input: input, fields: fields, fault: f})
	}
	for _, f := range exclusiveFaults() {
		add("fetched", fetchedFields, f)
	}
	add("fetched", fetchedFields, fault{name: "take-over", inject: (*run).takeOver})
	add("fetched", fetchedFields, updateFault)
	add("fetched", fetchedFields, fault{
		name: "kill -9 beside a stand-by", inject: (*run).killBesideStandBy, rare: true, leased: true,
	})
	add("fetched by several", sharedFields, fault{
		name: "start", inject: func(r *run) { r.start() }, consumers: 2, rare: true,
	})
	add("fetched by four", sharedFields, fault{name: "stop", inject: (*run).stop, consumers: 4, leased: true})
	add("fetched by four", sharedFields, fault{name: "kill -9", inject: (*run).kill, consumers: 4, leased: true})
	return rows
}

// pushedRows returns the rows whose messages Zato pushes, for comparison.
func pushedRows() []*row {
	var rows []*row
	for _, f := range exclusiveFaults() {
		rows = append(rows,
			&row{gateway: "stock", input: "pushed", fields: pushedFields, fault: f},
			&row{gateway: "stock", input: "pushed, journal", fields: journalFields, fault: f},
			&row{gateway: "connect", input: "pushed, cache and journal", fields: durableFields, fault: f})
	}
	return append(rows,
		&row{gateway: "stock", input: "pushed", fields: pushedFields, fault: updateFault},
		&row{gateway: "connect", input: "pushed, cache", fields: cacheFields, fault: updateFault})
}

// environmentTarget returns the server that the environment names. It skips the test if there is none.
func environmentTarget(t *testing.T) *target {
	t.Helper()
	tgt := &target{
		username: os.Getenv("ZATO_WSX_USERNAME"), secret: os.Getenv("ZATO_WSX_SECRET"),
		addresses: map[string]string{}, restarts: map[string]func(*testing.T){},
		messages: *messagesFlag, faults: *faultsFlag, maxFreeze: *maxFreezeFlag,
	}
	tgt.newTopic = func(t *testing.T) string {
		t.Helper()
		command := os.Getenv("ZATO_TEST_CREATE_TOPIC")
		if command == "" {
			return "/my/topic.gd"
		}
		topic := "/my/test/" + strings.ToLower(rand.Text())
		runCommand("TOPIC=" + topic + "; " + command)(t)
		return topic
	}
	for gateway, variable := range map[string]string{
		"connect": "ZATO_WSX_ADDRESS_CONNECT", "stock": "ZATO_WSX_ADDRESS_STOCK",
	} {
		if address := os.Getenv(variable); address != "" {
			tgt.addresses[gateway] = address
		}
	}
	if len(tgt.addresses) == 0 {
		t.Skip("neither ZATO_WSX_ADDRESS_CONNECT nor ZATO_WSX_ADDRESS_STOCK is set: no server to test")
	}
	for restart, variable := range map[string]string{
		"server restart": "ZATO_TEST_RESTART", "server kill -9": "ZATO_TEST_KILL",
		"database restart": "ZATO_TEST_RESTART_DATABASE", "database crash": "ZATO_TEST_CRASH_DATABASE",
	} {
		if command := os.Getenv(variable); command != "" {
			tgt.restarts[restart] = runCommand(command)
		}
	}
	return tgt
}

func TestServerNamedByTheEnvironmentLosesNoFetchedMessage(t *testing.T) {
	tgt := environmentTarget(t)
	var results []result
	for _, rw := range append(fetchedRows(), pushedRows()...) {
		t.Run(rw.String(), func(t *testing.T) {
			if reason := tgt.lacks(rw); reason != "" {
				t.Skip(reason)
			}
			res := newRun(t, tgt, rw).do()
			t.Log(table([]result{res}))
			results = append(results, res)
			res.check(t)
		})
	}
	t.Log(table(results))
}

// lacks returns what a row needs and the target has not, or nothing.
func (tgt *target) lacks(rw *row) string {
	switch {
	case !strings.Contains(rw.String(), *onlyFlag):
		return "not among -zato.only"
	case tgt.addresses[rw.gateway] == "":
		return "no address of this gateway"
	case rw.fault.leased && tgt.isSimulator:
		return "takes half a minute"
	case rw.fault.restart != "" && tgt.restarts[rw.fault.restart] == nil:
		return "no command for this restart"
	}
	return ""
}

func TestSimulatorLosesNoFetchedMessage(t *testing.T) {
	t.Parallel()
	for _, rw := range fetchedRows() {
		t.Run(rw.String(), func(t *testing.T) {
			t.Parallel()
			tgt := simulatorTarget(t)
			if reason := tgt.lacks(rw); reason != "" {
				t.Skip(reason)
			}
			res := newRun(t, tgt, rw).do()
			res.check(t)
			assert.Equal(t, tgt.messages, res.messages)
			t.Log(table([]result{res}))
		})
	}
}

// simulatorTarget starts a simulator.
func simulatorTarget(t *testing.T) *target {
	t.Helper()
	server := wsxtest.NewServer(
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/connect", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/gd", GuaranteedDelivery: true}),
	)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	restart := func(t *testing.T) {
		t.Helper()
		server.Stop()
		require.NoError(t, server.Restart())
	}
	return &target{
		isSimulator: true, username: "user1", secret: "secret1",
		addresses: map[string]string{"connect": server.URL("/connect")},
		newTopic:  func(*testing.T) string { return "/gd" },
		restarts:  map[string]func(*testing.T){"server restart": restart},
		messages:  120, faults: 3, maxFreeze: 600 * time.Millisecond, publishPause: 80 * time.Millisecond,
	}
}
