package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/internal/testkit/zato4test"
)

func TestFileToTopicPublishesEveryFormat(t *testing.T) {
	t.Parallel()
	server, dir := startZato4(t), t.TempDir()
	for name, content := range map[string]string{
		"a.csv":      "id,name\n1,Anna\n",
		"b.csv.gz":   gzipped(t, "id,name\n2,Bob\n"),
		"c.json":     `{"id": "3"}` + "\n" + `{"id": "4"}`,
		"d.jsonl":    `{"id":  12345678901234567890123}` + "\n\n" + `{"id":  1.00}` + "\n",
		"e.jsonl.gz": gzipped(t, "zażółć <&>"),
		"f.txt":      "8\n\xff\n" + strings.Repeat("x", 2000) + "\nrefused\n9\n",
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	aside := filepath.Join(dir, "aside")
	repeats := zato4Faults(server)
	assert.Equal(t, 2, repeats)
	job := startBridge(t, "zato-4/file-to-topic.yaml", zato4Env(server,
		"TOPIC=orders.new", "FILES="+dir+"/*.*", "ASIDE="+aside, "PARALLEL=1", "MAX_DATA=1000")...)
	eventually(t, func() bool { return server.FaultsLeft() == 0 }, "the bridge does not repeat its requests")
	require.NoError(t, job.awaitExit(), "%s", job.log.String())
	first := `{"id":"1","name":"Anna"}`
	assert.Equal(t, []string{
		first, first, first, `{"id":"2","name":"Bob"}`, `{"id":"3"}`, `{"id":"4"}`,
		`{"id":  12345678901234567890123}`, `{"id":  1.00}`, "zażółć <&>", "8", "refused", "9",
	}, awaitTexts(t, server, 12), "two answers were cut")
	lines := jsonLines(t, aside)
	require.Len(t, lines, 2)
	assert.Equal(t, "\xff", base64Text(t, lines[0]["content_base64"]))
	assert.Equal(t, "the message is not valid UTF-8", lines[0]["reason"])
	assert.Equal(t, "the message is larger than MAX_DATA", lines[1]["reason"])
}

func TestFileToTopicPutsRefusedMessagesAside(t *testing.T) {
	server, dir := startZato4(t), t.TempDir()
	writeFile(t, filepath.Join(dir, "a.txt"), "[1,  1]\ntwo\n")
	server.Fail(1, zato4test.Refuse(http.StatusRequestEntityTooLarge))
	job := startBridge(t, "zato-4/file-to-topic.yaml", zato4Env(server,
		"TOPIC=orders.new", "FILES="+dir+"/*.txt", "ASIDE="+dir+"/aside", "PARALLEL=1")...)
	require.NoError(t, job.awaitExit(), "%s", job.log.String())
	assert.Equal(t, []string{"two"}, awaitTexts(t, server, 1))
	lines := jsonLines(t, dir+"/aside")
	require.Len(t, lines, 1)
	assert.Equal(t, "[1,  1]", base64Text(t, lines[0]["content_base64"]))
	assert.Contains(t, lines[0]["reason"], "413")
}

// topicToFile runs an example that writes a topic to files.
type topicToFile struct {
	example string
	server  *zato4test.Server
	folder  string
	env     []string
}

// topicToFiles returns the examples that write a topic to files, each with a server.
func topicToFiles(t *testing.T) []*topicToFile {
	t.Helper()
	listen := streamtest.FreeAddress(t)
	pushing := startZato4(t, zato4test.WithSubscription(zato4User, "http://"+listen+"/push/s3cr3t", "orders.new"))
	pulled := startZato4(t, zato4test.WithSubscription(zato4User, "", "orders.new"))
	push, pull := t.TempDir(), t.TempDir()
	return []*topicToFile{
		{"topic-to-file", pushing, push, []string{
			"LISTEN=" + listen, "PUSH_PATH=/push/s3cr3t", "FOLDER=" + push, "ASIDE=" + push + "/aside",
		}},
		{"topic-to-file-by-gateway", pulled, pull, zato4Env(pulled, "FOLDER="+pull, "LEASE=1", "MAX_MESSAGES=7")},
	}
}

func (e *topicToFile) start(t *testing.T) *bridge {
	t.Helper()
	return startBridge(t, "zato-4/"+e.example+".yaml", e.env...)
}

// lines returns the pattern of the files.
func (e *topicToFile) lines() string { return e.folder + "/*.jsonl" }

func TestTopicToFileKeepsContentsAndOrder(t *testing.T) {
	for _, e := range topicToFiles(t) {
		t.Run(e.example, func(t *testing.T) {
			contents := map[string]any{
				`{"a":12345678901234567890123,"b":1.00}`: map[string]any{
					"a": json.Number("12345678901234567890123"), "b": json.Number("1.00"),
				},
				`1 2`: `1 2`, `{"a":1}x`: `{"a":1}x`, `<é> & "text"`: `<é> & "text"`, ``: ``, `[]`: []any{},
				"two\nlines": "two\nlines", `007`: `007`,
			}
			// A server that runs could take the first message before it has the rest.
			e.server.Kill()
			for content := range contents {
				e.server.Publish("orders.new", content, zato4test.Message{Priority: 5, CorrelID: content})
			}
			e.server.Publish("orders.new", "first", zato4test.Message{Priority: 9, CorrelID: "first"})
			e.server.Restart()
			e.start(t)
			lines := awaitJSONLines(t, e.lines(), len(contents)+1)
			assert.Equal(t, "first", lines[0]["data"], "it has the highest priority")
			assert.Equal(t, json.Number("9"), lines[0]["priority"])
			published := e.server.Published()
			for i, line := range lines[1:] {
				assert.Equal(t, published[i].Data == "", line["correl_id"] != published[i].Data, "the order of publication")
				assert.Equal(t, contents[published[i].Data], line["data"], published[i].Data)
				assert.Contains(t, line["msg_id"], "zpsm.")
				assert.NotEmpty(t, line["pub_time"])
			}
			eventually(t, func() bool { return e.server.Waiting(zato4User) == 0 }, "not acknowledged")
		})
	}
}

func TestTopicToFileLosesNothingWhenKilled(t *testing.T) {
	for _, e := range topicToFiles(t) {
		t.Run(e.example, func(t *testing.T) {
			for n := range 200 {
				e.server.Publish("orders.new", strconv.Itoa(n))
			}
			for kills := range 2 {
				bridge := e.start(t)
				awaitJSONLines(t, e.lines(), 40*(kills+1))
				bridge.kill()
				e.server.Kill()
				e.server.Restart()
			}
			// What a kill can leave behind: half of a line.
			files, err := filepath.Glob(e.lines())
			require.NoError(t, err)
			file, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteString(`{"data": 1`)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			e.start(t)
			eventually(t, func() bool { return e.server.Waiting(zato4User) == 0 }, "not acknowledged")
			content, err := os.ReadFile(files[0])
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(content), "{\"data\": 1\n"), "the half line must end")
			writeFile(t, files[0], strings.Replace(string(content), "{\"data\": 1\n", "", 1))
			seen := map[json.Number]bool{}
			for _, line := range jsonLines(t, e.lines()) {
				number, _ := line["data"].(json.Number)
				seen[number] = true
			}
			assert.Len(t, seen, 200)
		})
	}
}

func TestTopicToFileByGatewayWaitsForTheServerWithoutRepeats(t *testing.T) {
	e := topicToFiles(t)[1]
	server := e.server
	for n := range 20 {
		server.Publish("orders.new", strconv.Itoa(n))
	}
	server.Fail(1, zato4test.Refuse(http.StatusUnauthorized)) // a pull
	server.Fail(1, zato4test.Redirect(http.StatusFound, server.URL()+"/zato/ping"))
	e.env = append(e.env, "LEASE=60")
	e.start(t)
	awaitJSONLines(t, e.lines(), 20)
	eventually(t, func() bool { return server.Waiting(zato4User) == 0 }, "not acknowledged")
	server.Kill()
	server.Restart()
	server.Publish("orders.new", "20")
	awaitJSONLines(t, e.lines(), 21)
	eventually(t, func() bool { return server.Waiting(zato4User) == 0 }, "not acknowledged")
	assert.Len(t, jsonLines(t, e.lines()), 21, "some were repeated")
}

func TestTopicToFilePutsStrangeRequestsAside(t *testing.T) {
	e := topicToFiles(t)[0]
	e.start(t)
	url := "http://" + strings.TrimPrefix(e.env[0], "LISTEN=") + "/push/s3cr3t"
	post := func(body string) (status int) {
		eventually(t, func() bool {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return false
			}
			status = response.StatusCode
			return assert.NoError(t, response.Body.Close())
		}, "the bridge does not listen")
		return status
	}
	defer http.DefaultClient.CloseIdleConnections()
	assert.Equal(t, http.StatusOK, post("no JSON"))
	lines := awaitJSONLines(t, e.folder+"/aside", 1)
	assert.Equal(t, "no JSON", base64Text(t, lines[0]["content_base64"]))
	assert.NotEmpty(t, lines[0]["reason"])
	assert.Equal(t, http.StatusOK, post(`{"msg_id": "m", "data": "text", "pub_time_iso": "t", "priority": 5}`))
	assert.Equal(t, "text", awaitJSONLines(t, e.lines(), 1)[0]["data"])
}

func TestTopicToKafkaWritesHeadersAndWaitsForTheBroker(t *testing.T) {
	broker, listen, dir := kafkatest.Start(t), streamtest.FreeAddress(t), t.TempDir()
	broker.CreateTopics(2, "orders")
	server := startZato4(t, zato4test.WithSubscription(zato4User, "http://"+listen+"/push", "orders.new"))
	env := []string{"KAFKA_BROKERS=" + broker.Addr, "LISTEN=" + listen, "ASIDE=" + dir + "/aside"}
	first := startBridge(t, "zato-4/topic-to-kafka.yaml", env...)
	server.Publish("orders.new", `{"id": "k", "n": 12345678901234567890123}`,
		zato4test.Message{Priority: 7, CorrelID: "c", InReplyTo: "r", ExtClientID: "e"})
	reader := broker.Client(kgo.ConsumeTopics("orders"))
	r := consume(t, reader, 1)[0]
	assert.Equal(t, []string{"k", `{"id": "k", "n": 12345678901234567890123}`}, []string{string(r.Key), string(r.Value)})
	for name, value := range map[string]string{
		"zato_topic": "orders.new", "zato_correl_id": "c", "zato_in_reply_to": "r", "zato_ext_client_id": "e",
		"zato_priority": "7",
	} {
		assert.Equal(t, value, header(r, name), name)
	}
	assert.Contains(t, header(r, "zato_msg_id"), "zpsm.")

	broker.Stop()
	server.Publish("orders.new", "no JSON")
	server.Publish("orders.new", strings.Repeat("x", 1_000_001))
	first.awaitLog("Kafka")
	first.kill()
	broker.Restart()
	startBridge(t, "zato-4/topic-to-kafka.yaml", env...)
	assert.Equal(t, "no JSON", string(consume(t, reader, 1)[0].Value))
	aside := awaitJSONLines(t, dir+"/aside", 1)
	assert.Equal(t, "too large for Kafka", aside[0]["reason"])
	assert.Len(t, aside[0]["content"], 1_000_001)
	eventually(t, func() bool { return server.Waiting(zato4User) == 0 }, "not acknowledged")
}

// customer is a service that does not know the customer 13.
func customer(request map[string]any) (any, error) {
	if request["id"] == 13.0 {
		return nil, errors.New("no such customer: 13")
	}
	return map[string]any{"id": request["id"], "credit": json.Number("12345678901234567890123")}, nil
}

func TestEnrichByServiceInZato4AddsTheCustomer(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"enrich-by-service", "enrich-by-service-in-lists"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Start(t)
			broker.CreateTopics(1, "orders", "enriched", "dead")
			server := startZato4(t,
				zato4test.WithChannel("/customer/get", zato4User, func(body []byte) (any, error) {
					var request map[string]any
					if err := json.Unmarshal(body, &request); err != nil {
						return nil, err
					}
					return customer(request)
				}),
				zato4test.WithChannel("/customer/get-list", zato4User, func(body []byte) (any, error) {
					var requests []map[string]any
					err := json.Unmarshal(body, &requests)
					out := []any{}
					for _, request := range requests {
						found, err := customer(request)
						if err != nil {
							found = map[string]string{"error": err.Error()}
						}
						out = append(out, found)
					}
					return out, err
				}))
			records := []string{
				`{"n":0,"customer_id":7,"big":98765432109876543210}`, `{"n":1,"customer_id":13}`, `not JSON`, `{"n":3}`,
				`{"n":4,"customer_id":8}`, `{"n":5,"customer_id":9} {}`, `{"n":6,"customer_id":10}`,
			}
			client := broker.Client()
			for _, value := range records {
				r := record("orders", "k", value)
				r.Headers = []kgo.RecordHeader{{Key: "dead_letter_reason", Value: []byte("forged")}}
				kafkatest.Produce(t, client, r)
			}
			server.Fail(1, zato4test.Refuse(http.StatusServiceUnavailable))
			server.Fail(1, zato4test.Redirect(http.StatusFound, server.URL()+"/zato/ping"))
			server.Fail(1, zato4test.Cut())
			server.Fail(3, zato4test.Refuse(http.StatusForbidden))
			startBridge(t, "zato-4/"+example+".yaml", zato4Env(server, "KAFKA_BROKERS="+broker.Addr,
				"FROM_TOPIC=orders", "TO_TOPIC=enriched", "DEAD_LETTER_TOPIC=dead", "LIST=3")...)
			var values []string
			for _, r := range consume(t, broker.Client(kgo.ConsumeTopics("enriched")), 3) {
				assert.Equal(t, "k", string(r.Key))
				values = append(values, string(r.Value))
			}
			const credit = `"credit":12345678901234567890123`
			assert.Equal(t, []string{
				`{"big":98765432109876543210,"customer":{` + credit + `,"id":7},"customer_id":7,"n":0}`,
				`{"customer":{` + credit + `,"id":8},"customer_id":8,"n":4}`,
				`{"customer":{` + credit + `,"id":10},"customer_id":10,"n":6}`,
			}, values)
			dead := map[string]string{}
			for _, r := range consume(t, broker.Client(kgo.ConsumeTopics("dead")), 4) {
				dead[string(r.Value)] = header(r, "dead_letter_reason")
			}
			assert.Contains(t, dead[records[1]], "no such customer: 13")
			for _, n := range []int{2, 3, 5} {
				assert.Equal(t, "the record is not a JSON object with a customer_id", dead[records[n]])
			}
			eventually(t, func() bool { return broker.Committed("enrich-by-service", "orders") == 7 }, "not all committed")
		})
	}
}

func TestRecordsBetweenListsThatAreDeliveredAreNotLostIfTheyAreRejected(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"kafka-to-topic-by-gateway", "enrich-by-service-in-lists"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Start(t)
			broker.CreateTopics(1, "orders", "enriched")
			answer := func(body []byte) (any, error) { return json.RawMessage(body), nil }
			server := startZato4(t, zato4test.WithChannel("/customer/get-list", zato4User, answer))
			var records []*kgo.Record
			for n := range 6 {
				records = append(records, record("orders", "k", `{"customer_id":`+strconv.Itoa(n)+`}`))
			}
			for _, n := range []int{2, 3} {
				records[n].Value = []byte{0xff, byte('0' + n)}
			}
			kafkatest.Produce(t, broker.Client(), records...)
			blocker := filepath.Join(t.TempDir(), "aside")
			writeFile(t, blocker, "a file, where a folder is needed")
			bridge := startBridge(t, "zato-4/"+example+".yaml", zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "LIST=2",
				"KAFKA_GROUP=g", "FROM_TOPIC=orders", "TO_TOPIC=enriched", "DEAD_LETTER_TOPIC=not.there",
				"DEAD_LETTER_FILE="+blocker+"/dead.jsonl")...)
			bridge.awaitLog("not a directory")
			require.NoError(t, os.Remove(blocker))
			dead := map[string]bool{}
			for _, line := range awaitJSONLines(t, blocker+"/dead.jsonl", 2) {
				dead[base64Text(t, line["value_base64"])] = true
			}
			assert.Equal(t, map[string]bool{"\xff2": true, "\xff3": true}, dead)
			eventually(t, func() bool { return broker.Committed("g", "orders") == 6 }, "not all committed")
		})
	}
}

func TestEnrichByServiceInZato4LosesNothingWhenKilled(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"enrich-by-service", "enrich-by-service-in-lists"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker := kafkatest.Start(t)
			broker.CreateTopics(2, "orders", "enriched")
			answer := func(body []byte) (any, error) { return json.RawMessage(body), nil }
			server := startZato4(t, zato4test.WithChannel("/customer/get", zato4User, answer),
				zato4test.WithChannel("/customer/get-list", zato4User, answer))
			var records []*kgo.Record
			for n := range 300 {
				records = append(records, record("orders", strconv.Itoa(n), `{"customer_id":`+strconv.Itoa(n)+`}`))
			}
			kafkatest.Produce(t, broker.Client(), records...)
			env := zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "FROM_TOPIC=orders", "TO_TOPIC=enriched", "LIST=20")
			server.Fail(1, zato4test.CutAnswer())
			server.Fail(1, zato4test.Stall())
			first := startBridge(t, "zato-4/"+example+".yaml", env...)
			eventually(t, func() bool { return server.FaultsLeft() == 0 }, "the bridge does not call the service")
			first.kill()
			startBridge(t, "zato-4/"+example+".yaml", env...)
			seen := map[string]bool{}
			reader := broker.Client(kgo.ConsumeTopics("enriched"))
			ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
			defer cancel()
			for len(seen) < 300 {
				for _, r := range reader.PollRecords(ctx, 300).Records() {
					seen[string(r.Key)] = true
					assert.JSONEq(t, `{"customer_id":`+string(r.Key)+`,"customer":{"id":`+string(r.Key)+`}}`, string(r.Value))
				}
				require.NoError(t, ctx.Err(), "only %d of 300 were enriched", len(seen))
			}
		})
	}
}
