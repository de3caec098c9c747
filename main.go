// Command zato-connect is Redpanda Connect with components for the WebSocket channels of
// Zato.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"
	_ "github.com/redpanda-data/connect/v4/public/components/redis"

	"github.com/zato-connect/zato-connect/files"
	_ "github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/internal/check"
	"github.com/zato-connect/zato-connect/internal/cli"
	"github.com/zato-connect/zato-connect/internal/jsontext"
	_ "github.com/zato-connect/zato-connect/output"
	_ "github.com/zato-connect/zato-connect/processor"
	"github.com/zato-connect/zato-connect/simulator"
	_ "github.com/zato-connect/zato-connect/tracer"
)

// The linker sets these variables.
var (
	version   = "dev"
	dateBuilt = "unknown" //nolint:gochecknoglobals // the linker can only set variables
)

func main() {
	env := service.GlobalEnvironment()
	report := &files.Report{}
	if err := errors.Join(simulator.Register(env), files.Register(env, report), jsontext.Register()); err != nil {
		fmt.Fprintln(os.Stderr, "zato-connect:", err)
		os.Exit(1)
	}
	// The linter knows the simulators only from this environment's schema.
	schema := func() *service.ConfigSchema { return env.FullConfigSchema(version, dateBuilt) }
	code, err := service.RunCLIToCode(context.Background(),
		service.CLIOptSetVersion(cli.Versions(version), dateBuilt),
		service.CLIOptSetBinaryName("zato-connect"),
		service.CLIOptSetProductName("Zato Connect"),
		service.CLIOptSetDefaultConfigPaths("zato-connect.yaml", "/etc/zato-connect/config.yaml"),
		service.CLIOptSetMainSchemaFrom(schema),
		service.CLIOptCustomRunFlags(nil, cli.CheckSimulators),
		service.CLIOptOnConfigParse(check.Batching),
		service.CLIOptAddCommand(cli.Check(schema)),
		service.CLIOptAddCommand(cli.Zato()),
		service.CLIOptAddCommand(cli.Schema(schema)),
	)
	if err = errors.Join(err, report.Err()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
