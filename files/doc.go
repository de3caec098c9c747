// Package files provides the input file_records, which reads files record by record, and the
// output file_dead_letters, which sets aside records that cannot be delivered. Neither loses a
// record without a word: what cannot be read is set aside unchanged, and the run then fails.
package files

import (
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Register adds the input and the output to an environment. The report collects what the
// inputs could not do.
func Register(env *service.Environment, report *Report) error {
	construct := func(conf *service.ParsedConfig, res *service.Resources) (service.Input, error) {
		return newInput(conf, res, report)
	}
	err := env.RegisterInput(inputName, inputSpec(), construct)
	if err == nil {
		err = env.RegisterOutput(outputName, outputSpec(), newOutput)
	}
	if err != nil {
		return fmt.Errorf("registering the components for files: %w", err)
	}
	return nil
}
