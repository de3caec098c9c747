package wsxtest

import (
	"encoding/json"
	"fmt"
	"time"
)

// startDelivery starts the rounds of delivery to this connection, unless they have
// been started already.
func (c *session) startDelivery() {
	c.mu.Lock()
	started := c.delivering
	c.delivering = true
	c.mu.Unlock()
	if !started {
		c.spawn(c.deliveryLoop)
	}
}

func (c *session) deliveryLoop() {
	round := time.NewTimer(c.srv.firstRound)
	defer round.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-c.deliverNow:
		case <-round.C:
			round.Reset(c.srv.deliveryInterval)
		}
		if c.deliver() != nil {
			return
		}
	}
}

// requestDelivery requests an immediate round of delivery.
func (c *session) requestDelivery() {
	select {
	case c.deliverNow <- struct{}{}:
	default: // already requested
	}
}

// deliver pushes all messages that are due. Messages that are published while a
// write blocks stay in the queue of the server.
func (c *session) deliver() error {
	c.delivery.Lock()
	defer c.delivery.Unlock()
	for {
		due := c.srv.broker.dequeue(c)
		if len(due) == 0 {
			return nil
		}
		for i, b := range due {
			if err := c.push(b); err != nil {
				c.srv.broker.requeue(c, due[i:])
				return err
			}
			c.srv.broker.markDelivered(c, b)
		}
	}
}

// push writes one frame of messages. A single message is an object, and its id is
// also the id of the frame. Several messages are a list (transcript durable).
func (c *session) push(b batch) error {
	meta := newMeta(newID(), typeMessages)
	items := b.items
	if c.srv.broker.duplicates && len(items) > 1 {
		items = append(items[:len(items):len(items)], items[0])
	}
	list := make([]pushedMessage, len(items))
	for i, it := range items {
		list[i] = it.pushed(b.sub.key)
	}
	var content any = list
	if len(list) == 1 {
		meta.ID = list[0].MsgID
		content = list[0]
	}
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encoding messages: %w", err)
	}
	if err := c.send(serverFrame{meta, data}); err != nil {
		return err
	}
	for _, it := range items {
		c.srv.recorder.addDelivered(it.recorded(b.sub.key))
	}
	return nil
}
