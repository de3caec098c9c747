package cli

import (
	"fmt"
	"runtime/debug"
)

// Versions returns a version of the program together with those of Redpanda Connect and its engine, benthos, that are
// linked into it. A version of "dev" is replaced by that of the module, which a program built by go install has.
func Versions(version string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	if released := info.Main.Version; version == "dev" && released != "" && released != "(devel)" {
		version = released
	}
	linked := map[string]string{}
	for _, module := range info.Deps {
		linked[module.Path] = module.Version
	}
	return fmt.Sprintf("%s (Redpanda Connect %s, benthos %s)", version,
		linked["github.com/redpanda-data/connect/v4"], linked["github.com/redpanda-data/benthos/v4"])
}
