package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xeipuuv/gojsonschema"
	"gopkg.in/yaml.v3"
)

func TestReferenceMatchesTheCode(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "run", "./internal/docgen", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, readFolder(t, dir), readFolder(t, "docs/components"), "run make docs")
	schema, err := command(t, time.Minute, nil, "schema").Output()
	require.NoError(t, err)
	committed, err := os.ReadFile("docs/schema.json")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(schema, committed), "run make docs")
}

// readFolder returns the contents of the files in a folder by name.
func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		files[filepath.Base(path)] = string(text)
	}
	return files
}

// Patterns for the YAML blocks of a document, and for the section of a reference page that
// has complete configurations.
var (
	yamlBlock       = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	examplesSection = regexp.MustCompile("(?s)\n## Examples\n.*?\n## Fields\n")
)

func TestEveryConfigurationInTheDocsPassesTheLinter(t *testing.T) {
	dir := t.TempDir()
	args := []string{"lint", "--deprecated", "--skip-env-var-check"}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/zato/*.md"} {
		documents, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, document := range documents {
			text, err := os.ReadFile(document)
			require.NoError(t, err)
			if filepath.Dir(document) == "docs/components" {
				text = examplesSection.Find(text)
			}
			for i, block := range yamlBlock.FindAllSubmatch(text, -1) {
				path := filepath.Join(dir, fmt.Sprintf("%s.%d.yaml", strings.ReplaceAll(document, "/", "_"), i+1))
				require.NoError(t, os.WriteFile(path, block[1], 0o600))
				args = append(args, path)
			}
		}
	}
	assert.Greater(t, len(args), 10, "no configurations found")
	env := []string{"ZATO_WSX_ADDRESS=ws://zato.example.com/my.wsx", "OTLP_URL=http://collector:4318/v1/traces"}
	out, err := command(t, time.Minute, env, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// variable matches an environment variable with a default.
var variable = regexp.MustCompile(`\$\{[0-9A-Za-z_.]+:([^}]*)\}`)

func TestEveryExampleIsValidAgainstTheSchema(t *testing.T) {
	schema, err := os.ReadFile("docs/schema.json")
	require.NoError(t, err)
	loaded, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(schema))
	require.NoError(t, err)
	valid := func(text string) bool {
		var config any
		require.NoError(t, yaml.Unmarshal([]byte(variable.ReplaceAllString(text, "$1")), &config))
		result, err := loaded.Validate(gojsonschema.NewGoLoader(config))
		require.NoError(t, err)
		return result.Valid()
	}
	for _, path := range exampleConfigs(t) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(text), "# yaml-language-server: $schema=../docs/schema.json\n"), path)
		assert.True(t, valid(string(text)), path)
	}
	assert.False(t, valid("pipeline: { threads: many }"), "the schema does not check types")
}
