package output

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

// write publishes one message.
func (o *output) write(ctx context.Context, msg *service.Message) error {
	p, span, err := o.publication(msg) //nolint:contextcheck // the span is in the message's own context
	if err != nil {
		return err
	}
	alone := o.writes.Load() == 1 && !needsList(&p)
	if alone && o.lease.Described() == nil {
		return o.publish(ctx, p, span) // a list would gain nothing, so the server is not asked
	}
	limit, err := o.listLimit(ctx, p.Topic)
	switch {
	case err != nil:
		return err
	case limit == 0:
		return o.publish(ctx, p, span)
	}
	m := &message{Publication: p, span: span}
	o.lists.add(ctx, m.Topic, newGroup([]*message{m}), limit)
	return m.err
}

// writeAll publishes the messages of a batch. If only some fail, the error says which.
func (o *output) writeAll(ctx context.Context, batch service.MessageBatch) error {
	messages := make([]*message, len(batch))
	var valid []*message
	for i, msg := range batch {
		p, span, err := o.publication(msg) //nolint:contextcheck // the span is in the message's own context
		messages[i] = &message{Publication: p, span: span, err: err}
		if err == nil {
			valid = append(valid, messages[i])
		}
	}
	if len(valid) > 0 {
		o.publishAll(ctx, valid)
	}
	return o.batchError(batch, messages)
}

// publishAll publishes messages in lists if the gateway takes lists, and otherwise one by one.
func (o *output) publishAll(ctx context.Context, messages []*message) {
	limit, err := o.listLimit(ctx, messages[0].Topic)
	switch {
	case err != nil:
		for _, m := range messages {
			m.err = err
		}
	case limit > 0:
		topics := groupByTopic(messages)
		o.inParallel(len(topics), func(i int) {
			o.lists.add(ctx, topics[i][0].Topic, newGroup(topics[i]), limit)
		})
	case cap(o.slots) == 1:
		o.publishInSequence(ctx, messages)
	case o.fields[fieldMsgID] != nil:
		topics := groupByTopic(messages)
		o.inParallel(len(topics), func(i int) { o.publishInSequence(ctx, topics[i]) })
	default:
		o.inParallel(len(messages), func(i int) {
			m := messages[i]
			if m.err = notSent(m.Topic, ctx.Err()); m.err == nil {
				m.err = o.publish(ctx, m.Publication, m.span)
			}
		})
	}
}

// inParallel calls do with 0 to n-1, in this order. All batches together have as many calls at
// once as there are slots.
func (o *output) inParallel(n int, do func(i int)) {
	var last atomic.Int64
	work := func() {
		for {
			o.slots <- struct{}{}
			i := int(last.Add(1)) - 1
			if i < n {
				do(i)
			}
			<-o.slots
			if i >= n {
				return
			}
		}
	}
	var workers sync.WaitGroup
	for range min(n, cap(o.slots)) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
}

// groupByTopic divides messages by topic. The topics are in the order of their first messages.
func groupByTopic(messages []*message) [][]*message {
	var groups [][]*message
	places := map[string]int{}
	for _, m := range messages {
		place, found := places[m.Topic]
		if !found {
			place = len(groups)
			places[m.Topic] = place
			groups = append(groups, nil)
		}
		groups[place] = append(groups[place], m)
	}
	return groups
}

// publishInSequence publishes messages one after the other. No message overtakes one of its
// topic that has to be published again.
func (o *output) publishInSequence(ctx context.Context, messages []*message) {
	failed := map[string]bool{}
	for i, m := range messages {
		if failed[m.Topic] {
			holdBack(messages[i : i+1])
			continue
		}
		m.err = o.publish(ctx, m.Publication, m.span)
		failed[m.Topic] = m.err != nil && !isRefusal(m.err, o.repeatsLost)
	}
}

// publish publishes a message in a call of its own. It repeats only what was lost, and only if
// retryLost is set.
func (o *output) publish(ctx context.Context, p wsx.Publication, span *tracing.Span) error {
	p.Deadline = time.Now().Add(o.timeout)
	var id string
	err := connection.Repeat(ctx, p.Deadline, o.repeatsLost, func() (err error) {
		id, err = o.lease.Publish(ctx, p)
		return err
	})
	if err == nil && id == "" {
		o.dropped.report(p.Topic)
	}
	span.Describe(tracing.Message{ID: id})
	return err
}

// publishInOrder publishes messages of one topic in their order, in calls of up to limit
// messages. If a call fails, it makes no further one and returns false. While the topic is
// full, it sends one message at a time, because the server reads a whole list before it says
// so.
func (o *output) publishInOrder(ctx context.Context, messages []*message, limit int) bool {
	topic, size := messages[0].Topic, limit
	var endTurn func()
	for len(messages) > 0 {
		n := callSize(messages, size)
		full, err := o.publishList(ctx, messages[:n])
		rest := messages[n:]
		switch {
		case o.wasTooLarge(messages[:n], err):
			if n > 1 && !o.publishHalves(ctx, messages[:n]) {
				holdBack(rest)
				return false
			}
		case err != nil:
			holdBack(rest)
			return false
		case len(full) > 0:
			if endTurn == nil {
				if endTurn = o.full.await(ctx, topic, o.timeout); endTurn == nil {
					holdBack(slices.Concat(full[1:], rest))
					return false
				}
				defer endTurn()
			}
		}
		if endTurn != nil && len(full) < n {
			o.full.foundRoom(topic)
		}
		messages, size = rest, limit
		if len(full) > 0 {
			messages, size = slices.Concat(full, rest), 1
		}
	}
	return true
}

// publishHalves publishes messages that are too large for one call.
func (o *output) publishHalves(ctx context.Context, messages []*message) bool {
	half := len(messages) / 2 //nolint:mnd // halves
	if !o.publishInOrder(ctx, messages[:half], half) {
		holdBack(messages[half:])
		return false
	}
	return o.publishInOrder(ctx, messages[half:], len(messages)-half)
}

// callSize returns how many of the messages fit into the next call.
func callSize(messages []*message, limit int) int {
	n, bytes := 0, 0
	for n < min(limit, len(messages)) && (n == 0 || bytes+wireSize(messages[n]) <= maxListBytes) {
		bytes += wireSize(messages[n])
		n++
	}
	return n
}

// publishList publishes messages of one topic in one call, and returns those for which the
// topic had no room. A message that is alone waits for room until the timeout. If the call
// fails, that is the error of each message too.
func (o *output) publishList(ctx context.Context, messages []*message) (full []*message, err error) {
	list := wsx.PublicationList{Topic: messages[0].Topic, Messages: make([]wsx.Publication, len(messages))}
	for i, m := range messages {
		if m.CorrelID == "" {
			// Zato would give the same one to all messages of the list, and consumers would take them for duplicates.
			m.CorrelID = rand.Text()
		}
		list.Messages[i] = m.Publication
	}
	list.Deadline = time.Now().Add(o.timeout)
	mayRepeat := o.repeats(messages)
	var results []wsx.PublishResult
	err = connection.Repeat(ctx, list.Deadline,
		func(err error) bool {
			return wsx.IsTopicFull(err) || mayRepeat(err) && (len(messages) == 1 || !wsx.IsTooLarge(err))
		},
		func() (err error) {
			results, err = o.lease.PublishList(ctx, list)
			if err == nil && len(results) == 1 && wsx.IsTopicFull(results[0].Err) {
				o.full.report(list.Topic)
				return results[0].Err
			}
			return err
		})
	for i, m := range messages {
		if m.err = err; err != nil {
			continue
		}
		o.finish(m, results[i])
		if wsx.IsTopicFull(m.err) {
			full = append(full, m)
		}
	}
	if len(full) > 0 {
		o.full.report(list.Topic)
	}
	return full, err
}

// repeats returns which errors of a list are those of calls that are repeated. A message with an
// id is not published twice.
func (o *output) repeats(messages []*message) func(error) bool {
	for _, m := range messages {
		if m.MsgID == "" {
			return o.repeatsLost
		}
	}
	return connection.IsTransient
}

// wasTooLarge reports whether a list failed because of its size, and half of it can be sent.
func (o *output) wasTooLarge(messages []*message, err error) bool {
	return err != nil && connection.IsTooLarge(err, o.repeats(messages))
}

// finish keeps the result for a message of a list.
func (o *output) finish(m *message, result wsx.PublishResult) {
	m.err = result.Err
	if result.Status == wsx.Dropped {
		o.dropped.report(m.Topic)
		return
	}
	m.span.Describe(tracing.Message{ID: result.MsgID})
}

// repeatsLost reports whether a call is repeated that may publish messages twice.
func (o *output) repeatsLost(err error) bool {
	return o.retryLost && errors.Is(err, wsx.ErrConnectionLost)
}

// listLimit returns how many messages a list may have, or 0 if the gateway takes no lists.
func (o *output) listLimit(ctx context.Context, topic string) (int, error) {
	gateway := o.lease.Described()
	if gateway == nil {
		var err error
		if gateway, err = o.askGateway(ctx); err != nil {
			return 0, notSent(topic, err)
		}
	}
	if err := o.checkIDs(gateway); err != nil {
		return 0, notSent(topic, err)
	}
	if !gateway.Offers(wsx.AbilityPublishList) {
		return 0, nil
	}
	if most := gateway.Limits.PublishMessages; most > 0 {
		return min(o.maxList, most), nil
	}
	return o.maxList, nil
}

// askGateway asks the server what the gateway can do, within the timeout.
func (o *output) askGateway(ctx context.Context) (*wsx.Description, error) {
	deadline := time.Now().Add(o.timeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var gateway *wsx.Description
	isLost := func(err error) bool { return errors.Is(err, wsx.ErrConnectionLost) }
	err := connection.Repeat(ctx, deadline, isLost, func() (err error) {
		gateway, err = o.lease.Gateway(ctx)
		return err
	})
	if answered := wsx.SendStatusOf(err) == wsx.WasSent; answered && o.fields[fieldMsgID] == nil {
		return &wsx.Description{}, nil // a gateway of a user may answer anything
	}
	return gateway, err
}

// checkIDs looks whether the gateway heeds msg_id. If it does not, checkIDs logs once what that
// costs, or fails if the companion services are required.
func (o *output) checkIDs(gateway *wsx.Description) error {
	if o.fields[fieldMsgID] == nil || gateway.Offers(wsx.AbilityPublishKnown) {
		return nil
	}
	if o.lease.RequiresCompanion() {
		return fmt.Errorf("field %s: the gateway does not offer %s: update the companion services (zato/README.md), "+
			"or remove the field", fieldMsgID, wsx.AbilityPublishKnown)
	}
	o.noIDs.Do(func() {
		o.log.Warn("Zato ignores msg_id, because the channel is not mounted on the companion services (zato/README.md). " +
			"A message that is published again is a second message: see docs/guarantees.md")
	})
	return nil
}

// batchError returns the error for a batch, nil if all messages were published. If nothing was
// sent because there was no connection, the engine writes the whole batch again.
func (o *output) batchError(batch service.MessageBatch, messages []*message) error {
	var failed *service.BatchError
	var notConnected error
	unsent := true
	for i, m := range messages {
		if m.err != nil {
			if failed == nil {
				failed = service.NewBatchError(batch, m.err)
			}
			failed = failed.Failed(i, m.err)
		}
		if connection.IsNotConnected(m.err) {
			notConnected = m.err
		} else if !errors.Is(m.err, errHeldBack) {
			unsent = false
		}
	}
	switch {
	case failed == nil:
		return nil
	case unsent:
		return o.lease.Translate(notConnected)
	}
	return failed
}
