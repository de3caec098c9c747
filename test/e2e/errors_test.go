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

// documentedPackages are the packages whose errors and warnings a user meets.
var documentedPackages = []string{
	"wsx", "config", "connection", "input", "output", "processor", "simulator", "tracer", "internal/journal",
	"internal/tracing",
}

// internalErrors are errors that no user meets.
var internalErrors = map[string]bool{
	"the record is not whole": true, // where the file of what was last read ends
}

// ellipsis stands in the catalogue for what differs from case to case.
const ellipsis = "…"

var (
	formatVerb     = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
	catalogueEntry = regexp.MustCompile("(?m)^\\| `([^`]*)` \\|")
	// problemText is how a text that is built for an error begins.
	problemText = regexp.MustCompile(`^(…:? )?(is|has|a key|the server|opening) `)
	word        = regexp.MustCompile(`[A-Za-z_]+`)
	// contextOnly is what only says what was being done when another error came.
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
			assert.True(t, catalogue[message], "%s: docs/errors.md does not say what to do about\n| `%s` |", dir, message)
		}
	}
	for entry := range catalogue {
		assert.True(t, found[entry], "nothing says this any more: %s", entry)
	}
}

// errorMessages are the texts of a package's errors and warnings, as the catalogue has
// them.
func errorMessages(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if text, ok := messageOf(node); ok && isMessage(text) {
				all = append(all, text)
			}
			return true
		})
		return nil
	}))
	return all
}

// isMessage tells whether a text says anything by itself.
func isMessage(text string) bool {
	needed := 2
	if strings.Contains(text, ellipsis) {
		needed = 3
	}
	return len(word.FindAllString(text, -1)) >= needed && !contextOnly.MatchString(text)
}

// messageOf is the text that an expression gives to an error or a warning.
func messageOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
			switch name.Sel.Name {
			case "New", "Errorf", "Error", "Warnf", "Warn":
				return stringConstant(n.Args[0])
			case "Sprintf": // the problem of an InvalidError, mostly
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

// stringConstant is the value of a text that is written out, over several lines perhaps.
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
