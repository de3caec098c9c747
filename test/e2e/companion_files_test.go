package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// printFile runs a subcommand of the zato command that prints a file. It returns the output and whether the exit status
// is 0.
func printFile(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	out, err := command(t, time.Minute, nil, append([]string{"zato"}, args...)...).CombinedOutput()
	return string(out), err == nil
}

func TestPrintedServicesAreThoseOfTheRepositoryWithTheServicesThatClientsMayInvoke(t *testing.T) {
	source, err := os.ReadFile("zato/connect.py")
	require.NoError(t, err)
	out, ok := printFile(t, "services")
	require.True(t, ok, out)
	assert.Equal(t, string(source), out)

	out, ok = printFile(t, "services", "--service", "customer.get", "--service", "zato.ping", "--service", "zamówienie-1")
	require.True(t, ok, out)
	path := filepath.Join(t.TempDir(), "connect.py")
	require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
	runPython(t, "-c", `
import ast, sys
for node in ast.parse(open(sys.argv[1], encoding="utf-8").read()).body:
    if isinstance(node, ast.Assign) and node.targets[0].id == "SERVICES":
        assert ast.literal_eval(node.value) == ["zato.ping", "customer.get", "zamówienie-1"], ast.unparse(node)
        sys.exit(0)
sys.exit("no list")
`, path)

	for _, name := range []string{"", " ", "a'b", "a\nb", `a\b`, "a b"} {
		out, ok := printFile(t, "services", "--service", name)
		assert.False(t, ok, out)
		assert.Contains(t, out, "use a name such as customer.get")
	}
	for _, pattern := range []string{"*", "customer.*"} {
		out, ok := printFile(t, "services", "--service", pattern)
		assert.False(t, ok, out)
		assert.Contains(t, out, "contains *: list each service, because the gateway compares whole names")
	}
}

// enmasseFile is the part of an enmasse file that the command fills in.
type enmasseFile struct {
	Definitions []struct {
		Name     string `yaml:"name"`
		Username string `yaml:"username"`
		Password string `yaml:"password"`
	} `yaml:"def_sec"`
	Channels []struct {
		Name    string `yaml:"name"`
		Address string `yaml:"address"`
		Service string `yaml:"service"`
	} `yaml:"web_socket"`
	Endpoints []struct {
		Channel  string `yaml:"ws_channel_name"`
		Patterns string `yaml:"topic_patterns"`
	} `yaml:"pubsub_endpoint"`
	Topics []struct {
		Name  string `yaml:"name"`
		HasGD bool   `yaml:"has_gd"`
	} `yaml:"pubsub_topic"`
}

func TestPrintedObjectsHaveTheGivenValues(t *testing.T) {
	file, err := os.ReadFile("zato/enmasse.yaml")
	require.NoError(t, err)
	out, ok := printFile(t, "enmasse")
	require.True(t, ok, out)
	assert.Equal(t, string(file), out)

	out, ok = printFile(t, "enmasse", "--topic", "/a: #1", "--topic", "/b", "--user", `"yes" #{`, "--name", "no",
		"--address", "ws://0.0.0.0:1234/my.wsx")
	require.True(t, ok, out)
	var filled enmasseFile
	require.NoError(t, yaml.Unmarshal([]byte(out), &filled), out)
	assert.Equal(t, "no", filled.Definitions[0].Name)
	assert.Equal(t, `"yes" #{`, filled.Definitions[0].Username)
	assert.Equal(t, "Zato_Enmasse_Env.ZATO_WSX_SECRET", filled.Definitions[0].Password)
	assert.Equal(t, "ws://0.0.0.0:1234/my.wsx", filled.Channels[0].Address)
	assert.Equal(t, "connect.gateway", filled.Channels[0].Service)
	assert.Equal(t, "no", filled.Channels[0].Name)
	assert.Equal(t, "no", filled.Endpoints[0].Channel)
	assert.Equal(t, "pub=/a: #1\npub=/b\nsub=/a: #1\nsub=/b", filled.Endpoints[0].Patterns)
	require.Len(t, filled.Topics, 2)
	assert.Equal(t, "/a: #1", filled.Topics[0].Name)
	assert.Equal(t, "/b", filled.Topics[1].Name)
	assert.True(t, filled.Topics[0].HasGD && filled.Topics[1].HasGD)
}

func TestPrintedObjectsRefuseWhatZatoWouldSkipOrRefuse(t *testing.T) {
	for reason, args := range map[string][]string{
		"does not begin with /":     {"--topic", "orders"},
		"zato enmasse skips":        {"--topic", "/MyZato/x"},
		"skips objects with such":   {"--name", "zato-connect"},
		"contains *":                {"--topic", "/orders/*"},
		"is listed twice":           {"--topic", "/a", "--topic", "/a"},
		"contains a colon":          {"--user", "a:b"},
		"contains control":          {"--topic", "/a\nb"},
		"not the address of":        {"--address", "ws://0.0.0.0:48902"},
		"use ws://host:port/path":   {"--address", "http://0.0.0.0:48902/x"},
		"such as ws://0.0.0.0:4890": {"--address", "ws://0.0.0.0/x"},
	} {
		out, ok := printFile(t, append([]string{"enmasse"}, args...)...)
		assert.False(t, ok, out)
		assert.Contains(t, out, reason)
	}
}
