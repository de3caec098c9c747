package main

import (
	"regexp"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Descriptions are AsciiDoc, of which these are all that they use.
var (
	heading = regexp.MustCompile(`(?m)^==+ `)
	xref    = regexp.MustCompile(`xref:[^\[]*\[([^\]]*)\]`)
	link    = regexp.MustCompile(`(https?://[^\s\[]+)\[([^\]^]*)\^?\]`)
	named   = regexp.MustCompile(`^- (zato_[a-z_]+)[,:] (.*)$`)
)

// markdown turns a description into Markdown.
func markdown(text string) string {
	text = heading.ReplaceAllString(text, "## ")
	text = xref.ReplaceAllString(text, "$1")
	text = link.ReplaceAllString(text, "[$2]($1)")
	return strings.TrimSpace(tables(text))
}

// tables makes tables of lists of metadata and metrics.
func tables(text string) string {
	lines := strings.Split(text, "\n")
	var out []string
	within := false
	for _, line := range lines {
		row := named.ReplaceAllString(line, "| `$1` | $2 |")
		if row != line && !within {
			out = append(out, "| name | what it says |", "| --- | --- |")
		}
		within = row != line
		out = append(out, row)
	}
	return strings.Join(out, "\n")
}

// code sets a text as code, on one line.
func code(text string) string {
	return "`" + strings.Join(strings.Fields(text), " ") + "`"
}

// field is a field as it is shown.
type field struct {
	service.TemplateDataPluginField

	Facts    []string
	Examples []string
}

func fields(all []service.TemplateDataPluginField) []field {
	var out []field
	for _, f := range all {
		shown := field{TemplateDataPluginField: f, Facts: []string{f.Type}}
		if f.IsInterpolated {
			shown.Facts = append(shown.Facts, "interpolated")
		}
		if f.IsSecret {
			shown.Facts = append(shown.Facts, "secret")
		}
		if f.DefaultMarshalled != "" {
			shown.Facts = append(shown.Facts, "default "+code(f.DefaultMarshalled))
		}
		for _, example := range f.ExamplesMarshalled {
			shown.Examples = append(shown.Examples, strings.TrimRight(example, "\n"))
		}
		out = append(out, shown)
	}
	return out
}
