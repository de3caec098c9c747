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
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "zato/*.md", "zato/*/*.md"} {
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
		relative, err := filepath.Rel(filepath.Dir(path), "docs/schema.json")
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(text), "# yaml-language-server: $schema="+relative+"\n"), path)
		assert.True(t, valid(string(text)), path)
	}
	assert.False(t, valid("pipeline: { threads: many }"), "the schema does not check types")
}

var (
	// codeSpans are the parts of a page in backquotes, and links its relative links.
	codeSpans = regexp.MustCompile("`([^`\n]+)`")
	links     = regexp.MustCompile(`\]\(([^)#:\n]+)(?:#[^)]*)?\)`)
	// pathLike is a code span that names a file or a directory of this repository.
	pathLike = regexp.MustCompile(`^[\w.-]*(/[\w.-]+)+/?$|^[\w-]*\.(md|yaml|yml|go)$|^Makefile$|^Dockerfile$`)
	testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w+$`)
)

func TestArchitectureAndContributingNameWhatExists(t *testing.T) {
	tests := testFunctions(t)
	for _, page := range []string{"ARCHITECTURE.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		paths := 0
		for _, link := range links.FindAllSubmatch(text, -1) {
			_, err := os.Stat(string(link[1]))
			require.NoError(t, err, page)
		}
		for _, span := range codeSpans.FindAllSubmatch(text, -1) {
			switch name := string(span[1]); {
			case testName.MatchString(name):
				assert.True(t, tests[name], "%s names the test %s, which does not exist", page, name)
			case pathLike.MatchString(name):
				paths++
				_, err := os.Stat(name)
				require.NoError(t, err, page)
			}
		}
		assert.Greater(t, paths, 5, "%s names files", page)
	}
}

func TestBridgingNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("docs/bridging.md")
	require.NoError(t, err)
	tests, named := testFunctions(t), 0
	for _, span := range codeSpans.FindAllSubmatch(text, -1) {
		if name := string(span[1]); testName.MatchString(name) {
			named++
			assert.True(t, tests[name], "docs/bridging.md names the test %s, which does not exist", name)
		}
	}
	assert.Greater(t, named, 20)
}

// testFunctions returns the names of all tests and fuzz targets.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w+)`)
	names := map[string]bool{}
	require.NoError(t, filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, f := range declaration.FindAllSubmatch(text, -1) {
			names[string(f[1])] = true
		}
		return err
	}))
	return names
}

func TestTestsThatSkipUnderTheRaceDetectorRunWithoutIt(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	pattern := regexp.MustCompile(`-run '(\([\w|]+\))\$\$'`).FindSubmatch(makefile)
	require.NotNil(t, pattern, "the target timing selects tests")
	timed := regexp.MustCompile(string(pattern[1]) + "$")
	skips := regexp.MustCompile(`(?s)func (Test\w+)[^\n]*\n\tif race\.Enabled \{\n\t\tt\.Skip`)
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, f := range skips.FindAllSubmatch(text, -1) {
			found++
			assert.Regexp(t, timed, string(f[1]), "make timing runs it")
		}
		return err
	}))
	assert.Positive(t, found)
}
