package output

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Construct constructs and closes an output with the given fields.
func Construct(fields string) error {
	conf, err := spec().ParseYAML(fields, nil)
	if err != nil {
		return err
	}
	out, err := newOutput(conf, service.MockResources())
	if err != nil {
		return err
	}
	return out.Close(context.Background())
}
