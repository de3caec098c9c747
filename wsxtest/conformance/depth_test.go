package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// depths are the behaviours of topics with more messages in memory than they may have.
func depths() map[string]behaviour {
	const depth = "publish-depth"
	return map[string]behaviour{
		"messages beyond the depth of a topic are full and can follow": {depth, messagesBeyondTheDepthAreFull},
		"guaranteed messages do not count for the depth in memory":     {depth, guaranteedMessagesHaveNoDepth},
		"publishers at once do not fill a topic beyond its depth":      {depth, publishersAtOnceKeepToTheDepth},
		"without a subscriber, no message is in memory":                {depth, nothingIsInMemoryForNobody},
		"one in memory among others is published too, without anybody": {"publish-list", mixedListIsPublished},
		"messages beyond the depth of a topic are accepted and lost":   {withoutCompanion, messagesBeyondTheDepthAreLost},
	}
}

// needsTopic skips the test if the server does not have a topic.
func (tgt testTarget) needsTopic(t *testing.T, topic string) {
	t.Helper()
	var answer *wsx.ServerError
	if err := tgt.client(t).CheckPublish(t.Context(), topic); errors.As(err, &answer) {
		t.Skipf("needs the topic %s: %v", topic, err)
	} else {
		require.NoError(t, err)
	}
}

// inMemory returns n messages in memory.
func inMemory(name string, n int) []wsx.Publication {
	no := false
	out := make([]wsx.Publication, n)
	for i := range out {
		out[i] = wsx.Publication{Data: fmt.Sprintf("%s %d", name, i), HasGD: &no}
	}
	return out
}

// atDepth is the error for a topic that is full and not overfilled.
var atDepth = wsx.TopicFullError{Depth: smallDepth, MaxDepth: smallDepth}

// retryInterval is the time between two attempts to publish to a full topic. The server makes
// room now and then.
const retryInterval = 20 * time.Millisecond

// publishAll publishes messages in lists of up to ten, and those for which there was no room
// again. It returns how many were full meanwhile.
func publishAll(ctx context.Context, c *wsx.Client, messages []wsx.Publication) (full int, err error) {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for len(messages) > 0 {
		list := messages[:min(10, len(messages))]
		results, err := c.PublishList(ctx, wsx.PublicationList{Topic: topicSmall, Messages: list})
		if err != nil {
			return full, err
		}
		taken := 0
		for i, r := range results {
			var err *wsx.TopicFullError
			switch {
			case r.Status == wsx.Published && taken == i:
				taken++
			case r.Status == wsx.Full && errors.As(r.Err, &err) && *err == atDepth:
				full++
			default:
				return full, fmt.Errorf("message %d is %s (%w) behind %d that were taken", i, r.Status, r.Err, taken)
			}
		}
		messages = messages[taken:]
		if taken == 0 {
			<-tick.C
		}
	}
	return full, nil
}

// useSmallTopic makes the behaviours of the small topic take turns.
func (tgt testTarget) useSmallTopic(t *testing.T) {
	t.Helper()
	tgt.needsTopic(t, topicSmall)
	tgt.small <- struct{}{}
	t.Cleanup(func() { <-tgt.small })
}

func messagesBeyondTheDepthAreFull(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.useSmallTopic(t)
	sub, name := tgt.subscriber(t, topicSmall), uniqueText(t)
	messages := inMemory(name, 23)
	full, err := publishAll(t.Context(), tgt.client(t), messages)
	require.NoError(t, err)
	assert.Positive(t, full)
	for i, m := range receive(t, sub, len(messages), isOf(name)) {
		assert.Equal(t, messages[i].Data, string(m.Data))
	}
}

// isOf matches the messages of a test.
func isOf(name string) func(wsx.Message) bool {
	return func(m wsx.Message) bool { return strings.HasPrefix(string(m.Data), name) }
}

func guaranteedMessagesHaveNoDepth(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.useSmallTopic(t)
	sub, name, yes := tgt.subscriber(t, topicSmall), uniqueText(t), true
	messages := inMemory(name, 3*smallDepth)
	for i := range messages {
		if i%3 == 0 {
			messages[i].HasGD = &yes
		}
	}
	results, err := tgt.client(t).PublishList(t.Context(), wsx.PublicationList{Topic: topicSmall, Messages: messages})
	require.NoError(t, err)
	published := 0
	for i, r := range results {
		if i%3 == 0 {
			assert.Equal(t, wsx.Published, r.Status, i)
		}
		if r.Status == wsx.Published {
			published++
		}
	}
	assert.Equal(t, 2*smallDepth, published)
	receive(t, sub, published, isOf(name))
}

func publishersAtOnceKeepToTheDepth(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.useSmallTopic(t)
	sub, name := tgt.subscriber(t, topicSmall), uniqueText(t)
	const publishers, each = 3, 12
	results := make(chan error, publishers)
	for n := range publishers {
		c := tgt.client(t)
		go func() {
			_, err := publishAll(t.Context(), c, inMemory(fmt.Sprintf("%s %d", name, n), each))
			results <- err
		}()
	}
	for range publishers {
		require.NoError(t, <-results)
	}
	receive(t, sub, publishers*each, isOf(name))
}

func nothingIsInMemoryForNobody(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.useSmallTopic(t)
	publishToNobody(t, tgt, func(name string) []wsx.Publication { return inMemory(name, 4*smallDepth) })
}

func mixedListIsPublished(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.useSmallTopic(t)
	yes := true
	publishToNobody(t, tgt, func(name string) []wsx.Publication {
		messages := inMemory(name, 4*smallDepth)
		for i := range messages[1:] {
			messages[i].HasGD = &yes
		}
		return messages
	})
}

// publishToNobody publishes a list to the small topic, and again as long as the subscription of
// another behaviour has not ended. The first subscriber gets all of the last list.
func publishToNobody(t *testing.T, tgt testTarget, list func(name string) []wsx.Publication) {
	t.Helper()
	c := tgt.client(t)
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		probe, err := c.PublishList(t.Context(),
			wsx.PublicationList{Topic: topicSmall, Messages: inMemory(uniqueText(t), 2*smallDepth)})
		require.NoError(t, err)
		if probe[len(probe)-1].Status == wsx.Published {
			break
		}
		<-tick.C // the server ends a subscription a moment after its connection
	}
	name := uniqueText(t)
	messages := list(name)
	results, err := c.PublishList(t.Context(), wsx.PublicationList{Topic: topicSmall, Messages: messages})
	require.NoError(t, err)
	for i, r := range results {
		assert.Equal(t, wsx.Published, r.Status, i)
	}
	sub := tgt.client(t)
	_, err = sub.Subscribe(t.Context(), wsx.Subscription{Topic: topicSmall})
	require.NoError(t, err)
	receive(t, sub, len(messages), isOf(name))
}

func messagesBeyondTheDepthAreLost(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.needsTopic(t, topicSwallows)
	sub, pub, name := tgt.client(t), tgt.client(t), uniqueText(t)
	_, err := sub.Subscribe(t.Context(), wsx.Subscription{Topic: topicSwallows})
	require.NoError(t, err)
	messages := inMemory(name, 10*smallDepth)
	for _, m := range messages {
		m.Topic = topicSwallows
		id, err := pub.Publish(t.Context(), m)
		require.NoError(t, err)
		require.NotEmpty(t, id)
	}
	received := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 4*tgt.deliveryInterval)
		frame, err := sub.Receive(ctx)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		for _, m := range frame.Messages {
			if isOf(name)(m) {
				received++
			}
		}
	}
	assert.Less(t, received, len(messages), "of a topic that was overfilled before, none arrives")
}
