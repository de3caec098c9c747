//go:build unix

package zato_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/limitproxy"
)

// largestFrame is the size of the largest frame that passes a proxy that has a limit. Twenty messages may have more.
const largestFrame = 64 << 10

// badFields are the fields of an output that publishes bad messages.
const badFields = `topic: '${! @topic }'
has_gd: '${! @has_gd.or("true") }'
priority: '${! @priority.or("") }'
expiration: '${! @expiration.or("") }'
msg_id: '${! @msg_id.or("") }'
correl_id: '${! @correl_id.or("") }'
mime_type: '${! @mime_type.or("") }'
ext_pub_time: '${! @ext_pub_time.or("") }'`

// badChange makes a publication bad.
type badChange struct {
	reason string // a pattern of the error of the output
	change func(p *publication, random *rand.Rand)
}

// badChanges returns the changes. A forbidden topic is one that the user may not publish to.
func badChanges(forbidden string) []badChange {
	set := func(to func(*publication) *string, values ...string) func(*publication, *rand.Rand) {
		return func(p *publication, random *rand.Rand) { *to(p) = pick(random, values) }
	}
	tooLong := func(random *rand.Rand) string { return beginning(longText, 201+random.IntN(20_000)) }
	content := func(values ...string) func(*publication, *rand.Rand) {
		return func(p *publication, random *rand.Rand) { p.Content = []byte(pick(random, values)) }
	}
	return []badChange{
		{`priority: is ".*": use 1 to 9`, set(priorityOf, "high", "0", "-1", "5.5", " 5", "1e0", "99999999999999999999")},
		{`priority: is \d+: use 1 to 9`, set(priorityOf, "10", "2147483648")},
		{`expiration: is ".*": use a whole`, set(expirationOf, "soon", "0", "-1", "1.5", "60s", "9223372036854775808")},
		{`answered 400 bad expiration`, set(expirationOf, "9007199254740992", "9223372036854775807")},
		{`has_gd: is ".*": use true or false`, set(func(p *publication) *string { return &p.HasGD }, "maybe", "yes", "2")},
		{`msg_id: has \d+ characters`, func(p *publication, random *rand.Rand) { p.MsgID = tooLong(random) }},
		{`answered 400 bad msg_id`, func(p *publication, _ *rand.Rand) { p.MsgID += "\x00" }},
		{`correl_id: has \d+ characters`, func(p *publication, random *rand.Rand) { p.CorrelID = tooLong(random) }},
		{`answered 400 bad correl_id`, func(p *publication, _ *rand.Rand) { p.CorrelID = "\x00" }},
		{`mime_type: has \d+ characters`, func(p *publication, random *rand.Rand) { p.MimeType = tooLong(random) }},
		{`answered 400 bad mime_type`, func(p *publication, _ *rand.Rand) { p.MimeType = "text/\x00" }},
		{`answered 400 bad ext_pub_time`, set(func(p *publication) *string { return &p.ExtPubTime }, "now", "2026-13-01")},
		{`data: is empty`, content("")},
		{`data: is not valid UTF-8`, func(p *publication, random *rand.Rand) {
			invalid := pick(random, []string{"\xff", "\xed\xa0\x80"})
			p.Content = slices.Insert(p.Content, random.IntN(len(p.Content)), []byte(invalid)...)
		}},
		{`answered 400 data has a character that cannot be stored`, content("\x00", "a\x00b", longText+"\x00")},
		{`topic: is empty`, set(topicOf, "")},
		{`answered 40[034]`, set(topicOf, forbidden, "/no/such", "/\x00")},
	}
}

func priorityOf(p *publication) *string   { return &p.Priority }
func expirationOf(p *publication) *string { return &p.Expiration }
func topicOf(p *publication) *string      { return &p.Topic }

// mixedPublications returns publications of which half are bad, and the patterns of their errors by number.
func (r *run) mixedPublications(changes []badChange) (*mixture, []publication, map[int]string) {
	m, reasons := &mixture{}, map[int]string{}
	var all []publication
	for m.badBytes < *badFlag {
		good := r.rand.IntN(2) == 0
		text := r.badText()
		p := publication{
			Number: r.next, Topic: r.topic, Content: append([]byte(text[:len(text)-1]), `,"unknown":`+
				quote(beginning(longText, r.rand.IntN(5000)))+"}"...), MsgID: fmt.Sprintf("%s %d", r.id, r.next),
		}
		if good {
			m.good++
			r.accepted[r.next] = true
		} else {
			m.bad++
			bad := pick(r.rand, changes)
			bad.change(&p, r.rand)
			reasons[p.Number] = bad.reason
			m.badBytes += len(p.Content) + len(p.MsgID) + len(p.CorrelID) + len(p.MimeType)
		}
		all = append(all, p)
	}
	return m, all, reasons
}

// publishInPipeline publishes messages of which half are bad with an output, and checks what it says of each.
func (r *run) publishInPipeline() *mixture {
	return r.publishChanged(r.target.addresses["connect"], badChanges("/forbidden"))
}

// publishLarge publishes messages of which half are too large for a proxy in front of the server.
func (r *run) publishLarge() *mixture {
	address, err := url.Parse(r.target.addresses["connect"])
	require.NoError(r.t, err)
	address.Host = limitproxy.Start(r.t, address.Host, largestFrame)
	lengthen := func(p *publication, random *rand.Rand) {
		p.Content = append(p.Content, strings.Repeat(" ", largestFrame+random.IntN(largestFrame))...)
	}
	return r.publishChanged(address.String(), []badChange{{"closed the connection: 1009", lengthen}})
}

// publishChanged publishes messages to which some of the changes were made.
func (r *run) publishChanged(address string, changes []badChange) *mixture {
	m, all, reasons := r.mixedPublications(changes)
	p := r.startPipeline(address, badFields, 100_000, all)
	<-p.ended
	require.NoError(r.t, p.err)
	failures := p.failures()
	assert.Len(r.t, failures, m.bad)
	for _, f := range failures {
		r.checkReason(reasons, f)
		delete(reasons, f.Number)
	}
	assert.Empty(r.t, reasons, "bad messages that did not fail")
	return m
}

func (r *run) checkReason(reasons map[int]string, f failure) {
	reason, bad := reasons[f.Number]
	if assert.True(r.t, bad, "message %d is good, or failed twice: %s", f.Number, beginning(f.Error, 300)) {
		assert.Regexp(r.t, reason, f.Error, "message %d", f.Number)
	}
}
