//go:build unix

package zato_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// publisherConnections is the number of connections that publish at the same time.
const publisherConnections = 4

// publishLimit is how long a publisher repeats a message until the server accepts it.
const publishLimit = 3 * time.Minute

// publisher publishes numbered messages over several connections. It repeats a message until the server has accepted
// it. If an answer was lost, the server may have the message twice, with different ids.
type publisher struct {
	t       *testing.T
	clients []*wsx.Client
	topic   string
	run     string        // the id of the run
	pause   time.Duration // of each connection between two messages

	// mu guards the fields below. Nothing blocks while holding it.
	mu       sync.Mutex
	next     int
	accepted map[int]bool
}

// newPublisher returns a publisher. Its connections are closed when the test ends.
func newPublisher(t *testing.T, tgt *target, address, topic, run string) *publisher {
	t.Helper()
	p := &publisher{t: t, topic: topic, run: run, pause: tgt.publishPause, accepted: map[int]bool{}}
	for range publisherConnections {
		p.clients = append(p.clients, tgt.client(t, address))
	}
	return p
}

// publish publishes n messages. It calls reached when as many as at have been accepted, and returns when all have.
func (p *publisher) publish(n, at int, reached func()) {
	p.mu.Lock()
	last := p.next + n
	at += len(p.accepted)
	p.mu.Unlock()
	var once sync.Once
	var workers sync.WaitGroup
	for _, client := range p.clients {
		workers.Go(func() {
			for {
				number, more := p.take(last)
				if !more {
					return
				}
				if !p.publishOne(client, number) {
					return
				}
				if p.count() >= at {
					once.Do(reached)
				}
				<-time.After(p.pause)
			}
		})
	}
	workers.Wait()
	once.Do(reached)
}

// take returns the next number, unless it is last.
func (p *publisher) take(last int) (number int, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == last {
		return 0, false
	}
	p.next++
	return p.next, true
}

// publishBacklog publishes n messages in lists.
func (p *publisher) publishBacklog(n int) {
	p.t.Helper()
	for texts := range slices.Chunk(p.texts(n), 500) {
		list := make([]map[string]any, len(texts))
		for i, text := range texts {
			list[i] = map[string]any{"data": text, "has_gd": true}
		}
		request := map[string]any{"topic_name": p.topic, "messages": list}
		_, err := p.clients[0].Invoke(p.t.Context(), "connect.publish", request)
		require.NoError(p.t, err)
	}
}

// texts returns the texts of the next n messages. They count as accepted.
func (p *publisher) texts(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	texts := make([]string, n)
	for i := range texts {
		p.next++
		p.accepted[p.next] = true
		texts[i] = p.message(p.next)
	}
	return texts
}

// message returns the text of a message.
func (p *publisher) message(number int) string {
	return fmt.Sprintf(`{"run":%q,"number":%d,"at":%d}`, p.run, number, time.Now().UnixNano())
}

// publishOne publishes a message until the server accepts it.
func (p *publisher) publishOne(client *wsx.Client, number int) bool {
	guaranteed := true
	text := p.message(number)
	for began := time.Now(); ; <-time.After(100 * time.Millisecond) {
		_, err := client.Publish(p.t.Context(), wsx.Publication{Topic: p.topic, Data: text, HasGD: &guaranteed})
		if err == nil {
			break
		}
		if time.Since(began) > publishLimit {
			p.t.Errorf("message %d was not accepted: %v", number, err)
			return false
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted[number] = true
	return true
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted)
}

// missing returns how many accepted messages are in none of the lines.
func (p *publisher) missing(seen map[int]bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for number := range p.accepted {
		if !seen[number] {
			n++
		}
	}
	return n
}

// client returns a client of the server, without a proxy in between. It is closed when the test ends.
func (tgt *target) client(t *testing.T, address string) *wsx.Client {
	t.Helper()
	c, err := wsx.New(wsx.Config{
		Address: address, Username: tgt.username, Secret: wsx.Secret(tgt.secret), ClientName: "test/zato",
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}
