//go:build unix

package zato_test

import (
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
	journalFields = "durable: false\njournal: { path: FOLDER/journal }"
)

// The rows whose messages are fetched. The consumers have neither a journal nor a cache.
func fetchedRows() []*row {
	var rows []*row
	add := func(f fault, input, fields string) {
		rows = append(rows, &row{gateway: "connect", input: input, fields: fields, fault: f})
	}
	for _, f := range exclusiveFaults() {
		add(f, "fetched", fetchedFields)
	}
	add(fault{name: "take-over", inject: (*run).takeOver}, "fetched", fetchedFields)
	add(fault{name: "kill -9", inject: (*run).kill, consumers: 4}, "fetched by four", sharedFields)
	return rows
}

// The rows of the gateway that Zato ships, for comparison.
func stockRows() []*row {
	var rows []*row
	for _, f := range exclusiveFaults() {
		rows = append(rows,
			&row{gateway: "stock", input: "pushed", fields: pushedFields, fault: f},
			&row{gateway: "stock", input: "pushed, journal", fields: journalFields, fault: f})
	}
	return rows
}

// environmentTarget returns the server that the environment names. It skips the test if there is none.
func environmentTarget(t *testing.T) *target {
	t.Helper()
	tgt := &target{
		username: os.Getenv("ZATO_WSX_USERNAME"), secret: os.Getenv("ZATO_WSX_SECRET"),
		addresses: map[string]string{}, restarts: map[string]func(*testing.T){},
		messages: *messagesFlag, faults: *faultsFlag, maxFreeze: *maxFreezeFlag, settleTime: 45 * time.Second,
		newTopic: func(*testing.T) string { return envOr("ZATO_TEST_TOPIC", "/my/topic.gd") },
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

func envOr(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

func TestServerNamedByTheEnvironmentLosesNoFetchedMessage(t *testing.T) {
	tgt := environmentTarget(t)
	var results []result
	for _, rw := range append(fetchedRows(), stockRows()...) {
		t.Run(rw.String(), func(t *testing.T) {
			if reason := tgt.lacks(rw); reason != "" {
				t.Skip(reason)
			}
			res := newRun(t, tgt, rw).do()
			t.Log(table([]result{res}))
			results = append(results, res)
			if strings.HasPrefix(rw.input, "fetched") {
				assert.Zero(t, res.lost, "lost")
			}
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
	case rw.fault.restart != "" && tgt.restarts[rw.fault.restart] == nil:
		return "no command for this restart"
	}
	return ""
}

var _ = require.NoError
var _ wsxtest.Option
