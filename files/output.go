package files

import (
	"context"
	"errors"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// deliveryKey is the key of a message's delivery in its context.
type deliveryKey struct{}

// withDelivery returns the context of a message. It does not end with that of the read.
func withDelivery(ctx context.Context, d *delivery) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), deliveryKey{}, d)
}

// output sets aside the records that it gets.
type output struct {
	reason *service.InterpolatedString
}

func newOutput(conf *service.ParsedConfig, _ *service.Resources) (service.Output, int, error) {
	reason, err := conf.FieldInterpolatedString(fieldReason)
	return &output{reason: reason}, 1, err
}

// Connect does nothing: the input of a record knows where it goes.
func (*output) Connect(context.Context) error { return nil }

// Write sets a record aside as it is in its file, whatever the pipeline made of it.
func (o *output) Write(ctx context.Context, msg *service.Message) error {
	d, ok := msg.Context().Value(deliveryKey{}).(*delivery)
	if !ok {
		return errors.New("the message is no record of a file: use " + outputName + " with the input " + inputName)
	}
	reason, err := o.reason.TryString(msg)
	if err != nil {
		return err
	}
	return d.setAsideFor(ctx, reason)
}

// Close does nothing.
func (*output) Close(context.Context) error { return nil }
