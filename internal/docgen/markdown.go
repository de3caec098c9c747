package main

import (
	"regexp"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Descriptions are AsciiDoc. These are the elements that they use.
var (
	heading = regexp.MustCompile(`(?m)^==+ `)
	xref    = regexp.MustCompile(`xref:[^\[]*\[([^\]]*)\]`)
	link    = regexp.MustCompile(`(https?://[^\s\[]+)\[([^\]^]*)\^?\]`)
	item    = regexp.MustCompile(`^- (zato_[a-z_]+)[,:] (.*)$`)
)

// markdown converts a description to Markdown.
func markdown(text string) string {
	text = heading.ReplaceAllString(text, "## ")
	text = xref.ReplaceAllString(text, "$1")
	text = link.ReplaceAllString(text, "[$2]($1)")
	return strings.TrimSpace(tables(text))
}

// tables converts lists of metadata and metrics to tables.
func tables(text string) string {
	lines := strings.Split(text, "\n")
	var out []string
	inTable := false
	for _, line := range lines {
		row := item.ReplaceAllString(line, "| `$1` | $2 |")
		if row != line && !inTable {
			out = append(out, "| name | meaning |", "| --- | --- |")
		}
		inTable = row != line
		out = append(out, row)
	}
	return strings.Join(out, "\n")
}

// code formats a text as code, on one line.
func code(text string) string {
	return "`" + strings.Join(strings.Fields(text), " ") + "`"
}

// field is a field on a page.
type field struct {
	service.TemplateDataPluginField

	Facts    []string
	Examples []string
}

func fields(specs []service.TemplateDataPluginField) []field {
	var out []field
	for _, spec := range specs {
		f := field{TemplateDataPluginField: spec, Facts: []string{spec.Type}}
		if spec.IsInterpolated {
			f.Facts = append(f.Facts, "interpolated")
		}
		if spec.IsSecret {
			f.Facts = append(f.Facts, "secret")
		}
		if spec.DefaultMarshalled != "" {
			f.Facts = append(f.Facts, "default "+code(spec.DefaultMarshalled))
		}
		for _, example := range spec.ExamplesMarshalled {
			f.Examples = append(f.Examples, strings.TrimRight(example, "\n"))
		}
		out = append(out, f)
	}
	return out
}
