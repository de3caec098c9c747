package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// checkedInput is an input to check. Its arguments are the address and further fields.
const checkedInput = `
input:
  zato_wsx: { connection: { address: %q, username: bridge, secret: s3cr3t }, topics: [ /in ], %s }
cache_resources: [ { label: keys, memory: {} } ]
output: { drop: {} }
`

// checkInput checks a configuration with checkedInput, and returns the report with single spaces.
func checkInput(t *testing.T, server *wsxtest.Server, fields string) string {
	t.Helper()
	out, passed := check(t, writeConfig(t, fmt.Sprintf(checkedInput, server.URL("/bridge"), fields)))
	require.True(t, passed, out)
	return strings.Join(strings.Fields(out), " ")
}

// startDescribed starts a server whose companion services describe themselves as given.
func startDescribed(t *testing.T, description string) *wsxtest.Server {
	t.Helper()
	return startZato(t, wsxtest.WithChannel(wsxtest.Channel{
		Path: "/bridge", Username: "bridge", Secret: "s3cr3t", Gateway: wsxtest.Connect,
		Description: json.RawMessage(description),
	}))
}

func TestCheckReportsWhatTheGatewayCannotDoAndWhatThatCosts(t *testing.T) {
	report := checkInput(t, startDescribed(t, `{"name": "zato-connect", "version": 7, "can": ["fetch", "new"]}`), "")
	assert.Contains(t, report, "gateway ok companion services, version 7: fetch, new")
	assert.Contains(t, report, "ability missing fetch-in-memory: messages without guaranteed delivery are not fetched")
	assert.Contains(t, report, "ability missing subscriptions: named subscriptions cannot be listed")
	assert.Contains(t, report, "ability missing resume: ")
	assert.NotContains(t, report, "missing fetch:")

	report = checkInput(t, startPatched(t), "")
	assert.Contains(t, report, "gateway ok patched: supports durable subscriptions; has no companion services")
	assert.Contains(t, report, "subscription ok /in: pushed, because the gateway cannot hand messages out")
	assert.NotContains(t, report, "->")
}

func TestCheckAdvisesTheAdministratorOfTheServer(t *testing.T) {
	for database, advice := range map[string]string{
		"sqlite":     "without them, it deletes guaranteed messages that wait",
		"postgresql": "topics and queues grow without limit; subscriptions to which Zato pushes need two indexes",
	} {
		description := fmt.Sprintf(`{"name": "zato-connect", "version": 1, "can": ["fetch"],
			"database": %q, "log_level": "INFO"}`, database)
		report := checkInput(t, startDescribed(t, description), "cache: keys")
		assert.Contains(t, report, "database ok "+database+": give zato pubsub cleanup")
		assert.Contains(t, report, "the switches --topics-without-subscribers False --subscriptions False: ")
		assert.Contains(t, report, advice)
		assert.Contains(t, report, "log level ok INFO: set the logger zato_pubsub to WARN")
	}
	description := `{"name": "zato-connect", "version": 1, "can": ["fetch"], "database": "mysql", "log_level": "WARNING"}`
	report := checkInput(t, startDescribed(t, description), "")
	assert.Contains(t, report, "database ok mysql log level ok WARNING subscription")
}

func TestCheckReportsFromWhereAnInputReceivesAndChangesNothing(t *testing.T) {
	server := startCompanion(t)
	publish(t, server, "one")
	publish(t, server, "two")
	const exists = "subscribe not tested /in: the user had the right when the subscription was made"
	const firstSubscriber = "subscribe not tested /in: a test would take messages that wait for a first subscriber"
	for _, c := range []struct{ fields, line, untested string }{
		{
			"subscription: archive", `ok /in: fetched from "archive": 2 messages wait, 0 are unconfirmed, its consumer is`,
			exists,
		},
		{"subscription: other", `ok /in: fetched from "other", which the input makes when it starts`, firstSubscriber},
		{"cache: keys, respond_to_messages: true", "ok /in: pushed, because of cache, respond_to_messages", firstSubscriber},
		{"cache: keys, durable: true", "ok /in: pushed, because of cache, durable", firstSubscriber},
		{"", "warning /in: pushed, because the input has no name", firstSubscriber},
	} {
		report := checkInput(t, server, c.fields)
		assert.Contains(t, report, "subscription "+c.line)
		assert.Contains(t, report, c.untested)
	}
	out, passed := check(t, "--subscribe", writeConfig(t, strings.Replace(
		fmt.Sprintf(checkedInput, server.URL("/bridge"), ""), "  zato_wsx:", "  label: archive\n  zato_wsx:", 1)))
	require.True(t, passed, out)
	report := strings.Join(strings.Fields(out), " ")
	assert.Contains(t, report, `fetched from "archive": 2 messages wait`, "the label is the name")
	assert.Contains(t, report, "subscribe ok /in")

	listed, log, status := runZato(t, server, "", "subscriptions", "--json")
	require.Zero(t, status, log)
	assert.Equal(t, 1, strings.Count(listed, "\n"), listed)
	assert.Contains(t, listed, `"name":"archive","shared":false,"waiting":2,"unconfirmed":0,"consumer":{`)
}

func TestCheckReportsAMissingCompanionThatTheConfigurationRequires(t *testing.T) {
	server := startPatched(t)
	config := fmt.Sprintf(checkedInput, server.URL("/bridge"), "subscription: a")
	config = strings.Replace(config, "secret: s3cr3t", "secret: s3cr3t, gateway: connect", 1)
	out, passed := check(t, writeConfig(t, config))
	assert.False(t, passed)
	report := strings.Join(strings.Fields(out), " ")
	assert.Contains(t, report, "login failed the channel has no companion services")
	assert.Contains(t, report, "-> deploy the file that zato-connect zato services prints")
}

func TestCheckWarnsOfMessagesThatAFullTopicLoses(t *testing.T) {
	const warning = "depth warning an output may publish messages without guaranteed delivery"
	for _, c := range []struct {
		description, fields string
		warns               bool
	}{
		{`{}`, "topic: /in", true},
		{`{}`, "topic: /in, has_gd: false", true},
		{`{}`, `topic: "${! @topic }", has_gd: "${! @has_gd }"`, true},
		{`{"name": "zato-connect", "can": ["publish-list"]}`, "topic: /in", true},
		{`{}`, "topic: /in, has_gd: true", false},
		{`{"name": "zato-connect", "can": ["publish-list", "publish-depth"]}`, "topic: /in", false},
	} {
		server := startDescribed(t, c.description)
		out, passed := check(t, writeConfig(t, fmt.Sprintf("input: { generate: { mapping: root = 1 } }\n"+
			"output: { zato_wsx: { connection: { address: %q, username: bridge, secret: s3cr3t }, %s } }",
			server.URL("/bridge"), c.fields)))
		require.True(t, passed, out)
		report := strings.Join(strings.Fields(out), " ")
		assert.Equal(t, c.warns, strings.Contains(report, warning), "%s %s\n%s", c.description, c.fields, out)
		assert.Equal(t, c.warns, strings.Contains(report, "-> set has_gd: true, or deploy the file"), out)
	}
}

func TestCheckReportsWhatOutputsLack(t *testing.T) {
	const slower, twice = "each message is published in a call of its own", "msg_id is ignored"
	for description, reported := range map[string][]string{
		`{"name": "zato-connect", "can": ["fetch"]}`: {
			"ability missing publish-list: " + slower, "ability missing publish-known: " + twice,
		},
		`{"name": "zato-connect", "can": ["publish-list", "publish-known"]}`: nil,
		`{}`: {"gateway ok has no companion services; " + slower, "; " + twice},
	} {
		server := startDescribed(t, description)
		out, passed := check(t, writeConfig(t, fmt.Sprintf("input: { generate: { mapping: root = 1 } }\n"+
			"output: { zato_wsx: { connection: { address: %q, username: bridge, secret: s3cr3t }, topic: /in } }",
			server.URL("/bridge"))))
		require.True(t, passed, out)
		report := strings.Join(strings.Fields(out), " ")
		for _, text := range reported {
			assert.Contains(t, report, text)
		}
		if reported == nil {
			assert.NotContains(t, report, "missing")
		}
	}
}
