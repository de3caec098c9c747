// Package output provides the zato_wsx output, which publishes messages to Zato topics.
package output

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
)

func init() { //nolint:gochecknoinits // components of Connect register themselves
	service.MustRegisterBatchOutput("zato_wsx", spec(), construct)
}

func construct(
	conf *service.ParsedConfig, res *service.Resources,
) (service.BatchOutput, service.BatchPolicy, int, error) {
	var policy service.BatchPolicy
	out, err := newOutput(conf, res)
	if err != nil {
		return nil, policy, 0, err
	}
	if policy, err = conf.FieldBatchPolicy(fieldBatching); err != nil {
		return nil, policy, 0, err
	}
	injected, err := conf.WrapBatchOutputExtractTracingSpanMapping("zato_wsx", out)
	tested := connectionTester{BatchOutput: tracing.New(res).Output(injected), lease: out.lease}
	return tested, policy, cap(out.slots), err
}

// connectionTester adds to an output the connection test, which the tracing wrappers hide.
type connectionTester struct {
	service.BatchOutput

	lease *connection.Lease
}

// ConnectionTest connects, logs in and disconnects.
func (t connectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// output publishes messages. WriteBatch may be called by several goroutines at once.
type output struct {
	lease     *connection.Lease
	log       *service.Logger
	fields    map[string]*service.InterpolatedString
	timeout   time.Duration
	retryLost bool
	maxList   int
	connector connection.Connector
	dropped   *dropped
	full      *fullTopics
	lists     *lists
	slots     chan struct{} // bounds what the batches have in flight together
	writes    atomic.Int64  // calls of WriteBatch that have not returned
	noIDs     sync.Once     // logs that the gateway ignores msg_id
}

func newOutput(conf *service.ParsedConfig, res *service.Resources) (*output, error) {
	if err := validateStatic(conf); err != nil {
		return nil, err
	}
	out := &output{
		log: res.Logger(), fields: map[string]*service.InterpolatedString{}, dropped: newDropped(res),
		full: newFullTopics(res.Logger()),
	}
	out.lists = newLists(func(ctx context.Context, messages []*message, limit int) {
		out.publishInOrder(ctx, messages, limit)
	})
	for _, name := range []string{
		fieldTopic, fieldPriority, fieldExpiration, fieldMimeType, fieldCorrelID,
		fieldInReplyTo, fieldExtClientID, fieldExtPubTime, fieldHasGD, fieldMsgID,
	} {
		field, err := conf.FieldInterpolatedString(name)
		if err != nil {
			return nil, err
		}
		if static, isStatic := field.Static(); !isStatic || static != "" {
			out.fields[name] = field
		}
	}
	if err := out.parseLimits(conf); err != nil {
		return nil, err
	}
	var err error
	out.lease, err = connection.Acquire(conf, res)
	return out, err
}

func (o *output) parseLimits(conf *service.ParsedConfig) error {
	var err error
	if o.timeout, err = config.ParseDuration(conf, fieldTimeout); err != nil {
		return err
	}
	if o.retryLost, err = conf.FieldBool(fieldRetryLost); err != nil {
		return err
	}
	if o.maxList, err = config.ParsePositive(conf, fieldMaxList); err != nil {
		return err
	}
	inFlight, err := conf.FieldMaxInFlight()
	o.slots = make(chan struct{}, max(1, inFlight))
	return err
}

// Connect waits for a connection. If the companion services are required and there are fields
// that they cannot do, it fails.
func (o *output) Connect(ctx context.Context) error {
	return o.connector.Connect(ctx, func(ctx context.Context) error {
		err := o.lease.AwaitReady(ctx)
		if err != nil || o.fields[fieldMsgID] == nil || !o.lease.RequiresCompanion() {
			return err
		}
		gateway, err := o.lease.Gateway(ctx)
		if err == nil {
			err = o.checkIDs(gateway)
		}
		return err
	})
}

// WriteBatch publishes messages and waits for Zato's answers. While there is no connection, it
// waits for one itself, within the timeout: the engine would log each batch that it has to
// write again, and it writes the first one after a reconnect under a lock.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	o.writes.Add(1)
	defer o.writes.Add(-1)
	if len(batch) == 1 {
		return o.lease.Translate(o.write(ctx, batch[0]))
	}
	return o.writeAll(ctx, batch)
}

// Close releases the connections.
func (o *output) Close(context.Context) error {
	o.lease.Release()
	return nil
}
