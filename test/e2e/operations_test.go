package e2e_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loggingPackages are the packages whose lines operators see.
var loggingPackages = []string{
	"wsx", "connection", "files", "input", "output", "processor", "simulator", "tracer", "internal/journal",
	"internal/tracing",
}

var (
	documentedLine = regexp.MustCompile("(?m)^\\| (INFO|WARN|ERROR) \\| `([^`]*)` \\| ([^|]*) \\| [^|]+ \\|$")
	fieldName      = regexp.MustCompile("`([a-z_]+)`")
	loggingMethod  = regexp.MustCompile(`^(Info|Warn|Error)f?$`)
	// connectionLines are the levels of the lines that package connection writes by itself. Their
	// texts are constants.
	connectionLines = map[string]string{
		"lineNone": "WARN", "lineStillNone": "WARN", "lineSomeDown": "WARN", "lineRejected": "ERROR", "lineConnected": "INFO",
	}
)

func TestOperationsListsEveryLogLineWithItsFields(t *testing.T) {
	text, err := os.ReadFile("docs/operations.md")
	require.NoError(t, err)
	documented := map[string]string{} // the fields by level and text
	for _, row := range documentedLine.FindAllStringSubmatch(string(text), -1) {
		documented[row[1]+" "+row[2]] = row[3]
	}
	logged := map[string]bool{}
	for _, dir := range loggingPackages {
		for line, fields := range logLines(t, dir) {
			logged[line] = true
			listed, ok := documented[line]
			assert.True(t, ok, "%s: docs/operations.md has no row for\n%s", dir, line)
			for _, field := range fields {
				assert.Contains(t, listed, "`"+field+"`", line)
			}
		}
	}
	for line := range documented {
		assert.True(t, logged[line], "the code has no such line: %s", line)
	}
	for _, fields := range documented {
		for _, field := range fieldName.FindAllStringSubmatch(fields, -1) {
			assert.Regexp(t, "(?m)^\\| (`[a-z_]+`, )?`"+field[1]+"`", string(text), "the field is not explained")
		}
	}
}

// logLines returns the lines at INFO and above that a package logs, with their levels, and the
// names of the fields that each call sets.
func logLines(t *testing.T, dir string) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	inspect(t, dir, func(node ast.Node) {
		switch n := node.(type) {
		case *ast.CallExpr:
			if line, fields := logCall(n, dir); line != "" {
				lines[line] = append(lines[line], fields...)
			}
		case *ast.ValueSpec:
			if level := connectionLines[n.Names[0].Name]; level != "" && len(n.Values) == 1 {
				text, _ := stringConstant(n.Values[0])
				lines[level+" "+text] = nil
			}
		}
	})
	return lines
}

// logCall returns the line of a call that logs at INFO or above, and its fields. Lines of the
// client are written by package connection with a prefix. That package replaces the lines of
// ConnectionLogger.
func logCall(call *ast.CallExpr, dir string) (line string, fields []string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return "", nil
	}
	text, constant := stringConstant(call.Args[0])
	name := method.Sel.Name
	if name == "warnOnce" {
		name = "Warn"
	}
	if receiver, ok := method.X.(*ast.SelectorExpr); ok && receiver.Sel.Name == "ConnectionLogger" {
		return "", nil
	}
	if pkg, ok := method.X.(*ast.Ident); ok && pkg.Name == "fmt" || !constant || !loggingMethod.MatchString(name) {
		return "", nil
	}
	level := strings.ToUpper(strings.TrimSuffix(name, "f"))
	if dir != "wsx" {
		return level + " " + text, nil
	}
	for i := 1; i < len(call.Args); i += 2 {
		field, _ := stringConstant(call.Args[i])
		fields = append(fields, field)
	}
	return level + " Zato connection: " + text, fields
}
