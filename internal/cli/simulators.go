package cli

import (
	"fmt"
	"os"
	"path/filepath"

	ucli "github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"github.com/zato-connect/zato-connect/simulator"
)

// CheckSimulators returns an error if a file that the command run or streams reads contains
// simulators in a place where the engine refuses or ignores them.
func CheckSimulators(c *ucli.Context) error {
	var patterns []string
	for _, level := range c.Lineage() { // the flag may precede the command or follow it
		patterns = append(patterns, level.StringSlice("resources")...)
	}
	if c.Command.Name == "streams" {
		patterns = append(patterns, c.String("observability"))
		patterns = append(patterns, c.Args().Slice()...)
	}
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern) // the engine reports an invalid pattern
		for _, file := range files {
			if hasSimulators(file) {
				return fmt.Errorf("%s: %s is only supported in the main file of the command run: move it there, "+
					"or start the simulators in a process of their own", file, simulator.Resource)
			}
		}
	}
	return nil
}

// hasSimulators reports whether a file is a configuration with simulators. The engine reports
// files that cannot be read.
func hasSimulators(file string) bool {
	text, err := os.ReadFile(file) //nolint:gosec // the user chose it
	if err != nil {
		return false
	}
	var fields map[string]yaml.Node
	if yaml.Unmarshal(text, &fields) != nil {
		return false
	}
	_, found := fields[simulator.Resource]
	return found
}
