//go:build unix

package zato_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// orderedPublishers is how many publishers publish at the same time, each in its order.
	orderedPublishers = 8
	// longestList is the number of messages in their longest lists.
	longestList = 100
)

// orderRow is the row of publishers whose messages keep their order.
func orderRow() *row {
	return &row{gateway: "connect", input: "fetched", fields: fetchedFields, fault: fault{name: "order of lists"}}
}

func TestServerNamedByTheEnvironmentKeepsTheOrderOfEachPublisher(t *testing.T) {
	tgt := environmentTarget(t)
	if reason := tgt.lacks(orderRow()); reason != "" {
		t.Skip(reason)
	}
	newRun(t, tgt, orderRow()).checkOrder()
}

func TestSimulatorKeepsTheOrderOfEachPublisher(t *testing.T) {
	t.Parallel()
	newRun(t, simulatorTarget(t), orderRow()).checkOrder()
}

// checkOrder publishes lists and checks that the messages of each publisher arrive in their order.
func (r *run) checkOrder() {
	var publishers sync.WaitGroup
	for i := range orderedPublishers {
		publishers.Go(func() { r.publishLists(i, r.target.messages/orderedPublishers) })
	}
	publishers.Wait()
	r.settle()
	res := r.finish(0)
	next, late := map[int]int{}, 0
	for _, l := range r.ended[0].lines {
		var publisher, place int
		_, err := fmt.Sscanf(l.ID, r.id+"/%d/%d", &publisher, &place)
		require.NoError(r.t, err, l.ID)
		if place < next[publisher] {
			late++
		}
		next[publisher] = max(next[publisher], place+1)
	}
	r.t.Logf("%d messages of %d publishers: lost %d, repeated %d, behind later ones %d", res.messages, orderedPublishers,
		res.lost, res.repeated, late)
	assert.Zero(r.t, res.lost, "lost")
	assert.Zero(r.t, late, "behind later ones of their publisher")
}

// publishLists publishes n messages in lists, one after the other.
func (r *run) publishLists(publisher, n int) {
	client, guaranteed := r.target.client(r.t, r.target.addresses[r.row.gateway]), true
	random := rand.New(rand.NewPCG(*seedFlag, uint64(publisher)))
	for place := 0; place < n; {
		list := wsx.PublicationList{Topic: r.topic}
		for _, text := range r.texts(min(n-place, 1+random.IntN(longestList))) {
			id := fmt.Sprintf("%s/%d/%d", r.id, publisher, place)
			list.Messages = append(list.Messages, wsx.Publication{Data: text, MsgID: id, HasGD: &guaranteed})
			place++
		}
		if _, err := client.PublishList(r.t.Context(), list); !assert.NoError(r.t, err) {
			return
		}
	}
}
