package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documentedPackages are the packages whose errors and warnings users see.
var documentedPackages = []string{
	"wsx", "config", "connection", "files", "input", "output", "processor", "simulator", "tracer", "internal/journal",
	"internal/jsontext", "internal/tracing",
}

// internalErrors are errors that users do not see.
var internalErrors = map[string]bool{
	"the record is truncated": true, // marks the end of a write-ahead log
}

// ellipsis replaces, in the catalogue, the variable parts of a message.
const ellipsis = "…"

var (
	formatVerb     = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
	catalogueEntry = regexp.MustCompile("(?m)^\\| `([^`]*)` \\|")
	// problemText matches the beginning of a formatted text that describes a problem.
	problemText = regexp.MustCompile(`^(…:? )?(is|has|a key|the server|the topic|opening) `)
	word        = regexp.MustCompile(`[A-Za-z_]+`)
	// contextOnly matches a message that only adds context to a wrapped error.
	contextOnly = regexp.MustCompile(`^(… )?[a-z]+ing [^:]*(: …)+$`)
)

func TestCatalogueHasExactlyTheErrorsOfTheCode(t *testing.T) {
	text, err := os.ReadFile("docs/errors.md")
	require.NoError(t, err)
	catalogue := map[string]bool{}
	for _, entry := range catalogueEntry.FindAllSubmatch(text, -1) {
		assert.False(t, catalogue[string(entry[1])], "twice: %s", entry[1])
		catalogue[string(entry[1])] = true
	}
	found := map[string]bool{}
	for _, dir := range documentedPackages {
		for _, message := range errorMessages(t, dir) {
			if internalErrors[message] {
				continue
			}
			found[message] = true
			assert.True(t, catalogue[message], "%s: docs/errors.md has no entry for\n| `%s` |", dir, message)
		}
	}
	for entry := range catalogue {
		assert.True(t, found[entry], "the code has no such message: %s", entry)
	}
}

// errorMessages returns the texts of a package's errors and warnings, in the form that
// they have in the catalogue.
func errorMessages(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	inspect(t, dir, func(node ast.Node) {
		if text, ok := messageOf(node); ok && isMessage(text) {
			all = append(all, text)
		}
	})
	return all
}

// inspect calls look with each node of the source in a folder, without that of tests.
func inspect(t *testing.T, dir string, look func(ast.Node)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			look(node)
			return true
		})
		return nil
	}))
}

// isMessage reports whether a text is a message of its own, not only the context of
// another error.
func isMessage(text string) bool {
	needed := 2
	if strings.Contains(text, ellipsis) {
		needed = 3
	}
	return len(word.FindAllString(text, -1)) >= needed && !contextOnly.MatchString(text)
}

// messageOf returns the text of an error or a warning that an expression creates.
func messageOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
			switch name.Sel.Name {
			case "New", "Errorf", "Error", "Warnf", "Warn":
				return stringConstant(n.Args[0])
			case "Sprintf": // usually the problem of an InvalidError
				text, ok := stringConstant(n.Args[0])
				return text, ok && problemText.MatchString(text)
			}
		}
	case *ast.CompositeLit:
		if name, ok := n.Type.(*ast.Ident); ok && name.Name == "InvalidError" && len(n.Elts) == 2 {
			return stringConstant(n.Elts[1])
		}
	}
	return "", false
}

// stringConstant returns the value of a string literal or of a concatenation of string
// literals, with an ellipsis for each formatting verb.
func stringConstant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return formatVerb.ReplaceAllString(text, ellipsis), err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, first := stringConstant(e.X)
		right, second := stringConstant(e.Y)
		return left + right, first && second
	}
	return "", false
}
