package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// binary is the path of the program under test, which TestMain builds.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	// The tests use paths relative to the root of the module.
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "zato-connect")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for temporary files
	binary = filepath.Join(dir, "zato-connect")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command returns a command that runs the binary with a time limit. It adds env to the
// environment of this process.
func command(t *testing.T, limit time.Duration, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// runUntilTheEnd starts a command and kills it when the test ends. It returns its output.
func runUntilTheEnd(t *testing.T, cmd *exec.Cmd) *logtest.Buffer {
	t.Helper()
	var log logtest.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return &log
}

type zone struct {
	Zone      string   `json:"zone"`
	Countries []string `json:"countries"`
	Comment   string   `json:"comment"`
	Country   string   `json:"country"`
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
	Priority  int      `json:"priority"`
	CorrelID  string   `json:"correl_id"`
}

func TestQuickStartPrintsEveryEnrichedZoneOnceAndEnds(t *testing.T) {
	env := []string{"ZATO_SIMULATOR_ADDRESS=" + streamtest.FreeAddress(t)}
	cmd := command(t, 2*time.Minute, env, "run", "examples/quickstart.yaml")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Run(), "%s", log.String())
	assert.NotContains(t, log.String(), "level=error")
	assert.NotContains(t, log.String(), "level=warn")

	zones := map[string]zone{}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		var z zone
		require.NoError(t, json.Unmarshal(lines.Bytes(), &z), lines.Text())
		assert.NotContains(t, zones, z.Zone, "printed twice")
		zones[z.Zone] = z
		assert.NotEmpty(t, z.Country, lines.Text())
		assert.NotNil(t, z.Latitude, lines.Text())
		assert.NotNil(t, z.Longitude, lines.Text())
		assert.Equal(t, z.Zone, z.CorrelID)
	}
	assert.Len(t, zones, 312)

	abidjan := zones["Africa/Abidjan"]
	assert.Equal(t, "Côte d'Ivoire", abidjan.Country)
	assert.InDelta(t, 5.3167, *abidjan.Latitude, 1e-9)
	assert.InDelta(t, -4.0333, *abidjan.Longitude, 1e-9)
	assert.Equal(t, 9, abidjan.Priority)
	assert.InDelta(t, 40.7142, *zones["America/New_York"].Latitude, 1e-9)
	assert.Equal(t, "Eastern (most areas)", zones["America/New_York"].Comment)
	assert.Equal(t, 5, zones["America/New_York"].Priority)
}

func TestAnswerRequestsPrintsTheResponsesAndEnds(t *testing.T) {
	env := []string{"ZATO_SIMULATOR_ADDRESS=" + streamtest.FreeAddress(t)}
	cmd := command(t, 2*time.Minute, env, "run", "examples/answer-requests.yaml")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Run(), "%s", log.String())
	assert.Empty(t, log.String())
	assert.Equal(t, []string{
		`{"answer":{"price":1.2,"unit":"kg"},"request":{"item":"apple"}}`,
		`{"answer":{"price":2.35,"unit":"kg"},"request":{"item":"pear"}}`,
		`{"answer":{"error":"operator failed for key 'durian': key does not exist"},"request":{"item":"durian"}}`,
		`{"answer":{"price":0.9,"unit":"piece"},"request":{"item":"melon"}}`,
		`{"answer":{"price":1.2,"unit":"kg"},"request":{"item":"apple"}}`,
	}, strings.Split(strings.TrimSpace(out.String()), "\n"))
}

// exampleConfigs returns the paths of the example pipelines, without their tests.
func exampleConfigs(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("examples/*.yaml")
	require.NoError(t, err)
	forZato4, err := filepath.Glob("examples/zato-4/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, forZato4)
	all = append(all, forZato4...)
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, "_benthos_test.yaml") })
}

func TestEveryExamplePassesTheLinter(t *testing.T) {
	args := append([]string{"lint", "--deprecated"}, exampleConfigs(t)...)
	out, err := command(t, time.Minute, nil, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestFileToZatoPublishesEveryNonEmptyLine(t *testing.T) {
	address := streamtest.FreeAddress(t)
	simulator := filepath.Join(t.TempDir(), "simulator.yaml")
	require.NoError(t, os.WriteFile(simulator, fmt.Appendf(nil, `
zato_wsx_simulators:
  - { label: zato, address: %s, path: /x, username: u, secret: 'with "quotes" and ''apostrophes''' }
input:
  zato_wsx:
    connection: { address: ws://%s/x, username: u, secret: 'with "quotes" and ''apostrophes''' }
    topics: [ /demo/lines ]
output:
  stdout: {}
http: { enabled: false }
`, address, address), 0o600))
	lines := filepath.Join(t.TempDir(), "lines.txt")
	require.NoError(t, os.WriteFile(lines, []byte("one\n\n{\"two\": 2}\nżółć\n"), 0o600))

	server := command(t, time.Minute, nil, "run", simulator)
	received, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())

	out, err := command(t, time.Minute, []string{
		"ZATO_WSX_ADDRESS=ws://" + address + "/x", "ZATO_WSX_USERNAME=u",
		`ZATO_WSX_SECRET=with "quotes" and 'apostrophes'`, "FILES=" + lines,
	}, "run", "examples/file-to-zato.yaml").CombinedOutput()
	require.NoError(t, err, "%s", out)

	var got []string
	scanner := bufio.NewScanner(received)
	for len(got) < 3 && scanner.Scan() {
		got = append(got, scanner.Text())
	}
	assert.ElementsMatch(t, []string{"one", `{"two": 2}`, "żółć"}, got)
	require.NoError(t, server.Process.Signal(syscall.SIGINT))
	require.NoError(t, server.Wait())
}

func TestInterruptEndsARunWithinTwoSecondsInEveryState(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, nobody responds
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	simulated := streamtest.FreeAddress(t)
	for state, c := range map[string]struct{ config, logged string }{
		"dialing": {fmt.Sprintf(receivingPipeline, silent.Addr()), "Launching"},
		"waiting": {fmt.Sprintf(receivingPipeline, streamtest.FreeAddress(t)), "connection refused"},
		"receiving": {fmt.Sprintf(`
zato_wsx_simulators: [ { label: zato, address: %s, path: /x } ]
`, simulated) + fmt.Sprintf(receivingPipeline, simulated), "Input type zato_wsx is now active"},
		"with an output that is blocked": {fmt.Sprintf(`
input: { generate: { mapping: 'root = 1', interval: 1ms } }
output: { zato_wsx: { connection: { address: ws://%s/x }, topic: /t } }
shutdown_timeout: 2s
`, streamtest.FreeAddress(t)), "connection refused"},
	} {
		t.Run(state, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(config, []byte(c.config+"\nhttp: { enabled: false }\n"), 0o600))
			cmd := command(t, time.Minute, nil, "run", config)
			log, err := cmd.StdoutPipe() // Connect logs to it unless it is the output
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			scanner := bufio.NewScanner(log)
			for scanner.Scan() && !strings.Contains(scanner.Text(), c.logged) {
				continue
			}
			interrupted := time.Now()
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			for scanner.Scan() {
				continue // an unread pipe would block the program
			}
			_ = cmd.Wait() // fails if messages were given up
			assert.Less(t, time.Since(interrupted), 2*time.Second)
		})
	}
}

// receivingPipeline is a pipeline that receives a topic. Its argument is an address.
const receivingPipeline = `
input: { zato_wsx: { connection: { address: ws://%s/x }, topics: [ /t ] } }
output: { drop: {} }
`
