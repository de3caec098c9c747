package simulator

import (
	"context"
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// parseMapping parses the mapping of a service. Its error has the position in the mapping.
func parseMapping(mapping string) (*bloblang.Executor, error) {
	exe, err := bloblang.GlobalEnvironment().Parse(mapping)
	var at *bloblang.ParseError
	if errors.As(err, &at) {
		err = fmt.Errorf("parsing the mapping: line %d, column %d: %w", at.Line, at.Column, err)
	}
	return exe, err
}

// mappingService returns a service that runs a Bloblang mapping. If the mapping fails, the
// client gets what Zato answers for any exception: status 500, without the error.
func mappingService(exe *bloblang.Executor) wsxtest.Service {
	return func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		request := service.NewMessage(inv.Request)
		request.MetaSetMut("zato_service", inv.Service)
		request.MetaSetMut("zato_client_id", inv.ClientID)
		response, err := request.BloblangQuery(exe)
		switch {
		case err != nil:
			return nil, fmt.Errorf("running the mapping: %w", err)
		case response == nil: // the mapping deleted its root
			return nil, nil //nolint:nilnil // a service may return nothing
		}
		if !response.HasStructured() {
			text, err := response.AsBytes()
			return string(text), err
		}
		return response.AsStructured()
	}
}
