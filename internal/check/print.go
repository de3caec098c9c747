package check

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
)

// Print writes each report as a table.
func Print(w io.Writer, reports []Connection) error {
	if len(reports) == 0 {
		_, err := fmt.Fprintln(w, "The files contain no Zato connection.")
		return err
	}
	for i := range reports {
		if err := reports[i].print(w); err != nil {
			return err
		}
	}
	return nil
}

func (c *Connection) print(w io.Writer) error {
	var lines strings.Builder
	fmt.Fprintln(&lines, c.title())
	for _, component := range c.Components {
		fmt.Fprintf(&lines, "  %s\n", component)
	}
	for _, r := range c.Results {
		fmt.Fprintf(&lines, "  %s\t%s\t%s\n", r.Check, r.Outcome, r.text())
		if r.Remedy != "" {
			fmt.Fprintf(&lines, "\t\t-> %s\n", r.Remedy)
		}
	}
	var aligned strings.Builder
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, lines.String()) // a strings.Builder cannot fail
	_ = table.Flush()
	_, err := io.WriteString(w, trailingSpaces.ReplaceAllString(aligned.String(), ""))
	return err
}

// trailingSpaces are the spaces that the tabwriter adds to the last column.
var trailingSpaces = regexp.MustCompile(`(?m) +$`)

func (c *Connection) title() string {
	if c.Username == "" {
		return c.Address
	}
	return c.Address + " as " + c.Username
}

// String returns where the component is.
func (c Component) String() string {
	if c.Label != "" {
		return fmt.Sprintf("%s: %s %q at %s", c.File, c.Kind, c.Label, c.Path)
	}
	return fmt.Sprintf("%s: %s at %s", c.File, c.Kind, c.Path)
}

// text returns the topic, the detail and the time on one line.
func (r *Result) text() string {
	var parts []string
	for _, part := range []string{r.Topic, strings.Join(strings.Fields(r.Detail), " ")} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if r.Took > 0 {
		parts = append(parts, fmt.Sprintf("%.1f ms", r.Took))
	}
	return strings.Join(parts, ": ")
}
