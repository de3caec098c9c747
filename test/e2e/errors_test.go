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

// catalogued are the packages whose errors and warnings a user meets.
var catalogued = []string{
	"wsx", "config", "connection", "input", "output", "processor", "simulator", "tracer", "internal/journal",
	"internal/tracing",
}

// unseen are errors that no user meets.
var unseen = map[string]bool{
	"the record is truncated": true, // where the file of what was last read ends
}

// ellipsis stands in the catalogue for what differs from case to case.
const ellipsis = "…"

var (
	verbs   = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
	entries = regexp.MustCompile("(?m)^\\| `([^`]*)` \\|")
	// sentence is how a text that is built for an error begins.
	sentence = regexp.MustCompile(`^(…:? )?(is|has|a key|the server|opening) `)
	words    = regexp.MustCompile(`[A-Za-z_]+`)
	// doing is what only says what was being done when another error came.
	doing = regexp.MustCompile(`^(… )?[a-z]+ing [^:]*(: …)+$`)
)

func TestEveryErrorIsInTheCatalogueAndNoOther(t *testing.T) {
	text, err := os.ReadFile("docs/errors.md")
	require.NoError(t, err)
	catalogue := map[string]bool{}
	for _, entry := range entries.FindAllSubmatch(text, -1) {
		assert.False(t, catalogue[string(entry[1])], "twice: %s", entry[1])
		catalogue[string(entry[1])] = true
	}
	found := map[string]bool{}
	for _, dir := range catalogued {
		for _, message := range messages(t, dir) {
			if unseen[message] {
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

// messages are the texts of a package's errors and warnings, as the catalogue has
// them.
func messages(t *testing.T, dir string) []string {
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
			if text, ok := said(node); ok && says(text) {
				all = append(all, text)
			}
			return true
		})
		return nil
	}))
	return all
}

// says tells whether a text says anything by itself.
func says(text string) bool {
	needed := 2
	if strings.Contains(text, ellipsis) {
		needed = 3
	}
	return len(words.FindAllString(text, -1)) >= needed && !doing.MatchString(text)
}

// said is the text that an expression gives to an error or a warning.
func said(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
			switch name.Sel.Name {
			case "New", "Errorf", "Error", "Warnf", "Warn":
				return constant(n.Args[0])
			case "Sprintf": // the problem of an InvalidError, mostly
				text, ok := constant(n.Args[0])
				return text, ok && sentence.MatchString(text)
			}
		}
	case *ast.CompositeLit:
		if name, ok := n.Type.(*ast.Ident); ok && name.Name == "InvalidError" && len(n.Elts) == 2 {
			return constant(n.Elts[1])
		}
	}
	return "", false
}

// constant is the value of a text that is written out, over several lines perhaps.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return verbs.ReplaceAllString(text, ellipsis), err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, first := constant(e.X)
		right, second := constant(e.Y)
		return left + right, first && second
	}
	return "", false
}
