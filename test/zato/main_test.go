//go:build unix

// Package zato_test runs the binary through faults, in front of a Zato server or its simulator, and counts the
// messages that are lost or repeated.
package zato_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Flags of the tests, which make test-zato and make test-kafka set.
var (
	messagesFlag  = flag.Int("zato.messages", 1000, "number of messages to publish for each row of the table")
	faultsFlag    = flag.Int("zato.faults", 5, "number of faults for each row; a tenth of it for restarts of a server")
	maxFreezeFlag = flag.Duration("zato.freeze", 4*time.Second, "longest time for which a process is frozen")
	seedFlag      = flag.Uint64("zato.seed", 1, "seed that decides the moments of the faults")
	onlyFlag      = flag.String("zato.only", "", "only the rows whose text contains this")
	recordsFlag   = flag.Int("zato.records", 2000, "number of records that the bridge from Kafka publishes")
	killsFlag     = flag.Int("zato.kills", 1, "number of times that the bridge from Kafka is killed")
	badFlag       = flag.Int("zato.bad", 200_000, "number of bytes of bad messages, in each way to publish them")
)

// binary is the path of the program under test, which TestMain builds.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "zato-connect")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for temporary files
	binary = filepath.Join(dir, "zato-connect")
	if out, err := exec.Command("go", "build", "-o", binary, "../..").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	_ = flag.Set("test.parallel", "8") // the tests wait more than they compute; every test binary has this flag
	return m.Run()
}
