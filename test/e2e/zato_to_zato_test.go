package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestZatoToZatoPutsAsideWhatTheTargetCannotAccept(t *testing.T) {
	from, to := startZato(t), startZato(t)
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	startBridge(t, "zato-to-zato.yaml",
		"FROM_ADDRESS="+from.URL("/bridge"), "FROM_USERNAME=bridge", "FROM_SECRET=s3cr3t", "FROM_TOPIC=/in",
		"TO_ADDRESS="+to.URL("/bridge"), "TO_USERNAME=bridge", "TO_SECRET=s3cr3t", "TO_TOPIC=/out",
		"ASIDE="+aside)
	awaitSubscription(t, from)
	publish(t, from, "one")
	publish(t, from, "")
	publish(t, from, `{"n": 12345678901234567890}`)
	assert.Equal(t, []string{"one", `{"n": 12345678901234567890}`}, awaitPublished(t, to, "/out", 2))
	line := awaitAside(t, aside, 1)[0]
	assert.Empty(t, line.Content)
	assert.Equal(t, from.Published()[1].ID, line.Metadata["zato_msg_id"])
	assert.Contains(t, line.Metadata["fallback_error"], "data: is empty")
}

func TestZatoToZatoShortensIDsThatTheTargetWouldRefuse(t *testing.T) {
	topic := "/" + strings.Repeat("long", 47)
	from, to := startZato(t), startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: topic, GuaranteedDelivery: true}))
	startBridge(t, "zato-to-zato.yaml",
		"FROM_ADDRESS="+from.URL("/bridge"), "FROM_USERNAME=bridge", "FROM_SECRET=s3cr3t", "FROM_TOPIC=/in",
		"TO_ADDRESS="+to.URL("/bridge"), "TO_USERNAME=bridge", "TO_SECRET=s3cr3t", "TO_TOPIC="+topic,
		"ASIDE="+filepath.Join(t.TempDir(), "aside.jsonl"))
	awaitSubscription(t, from)
	publish(t, from, "one")
	publish(t, from, "two")
	assert.Equal(t, []string{"one", "two"}, awaitPublished(t, to, topic, 2))
	assert.Len(t, to.Published()[0].ID, 64)
}
