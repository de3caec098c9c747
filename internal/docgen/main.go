// Command docgen writes the reference of the components, of which everything is in
// their specs, as Markdown. It takes the folder to write to.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/zato-connect/zato-connect/input"
	_ "github.com/zato-connect/zato-connect/output"
	_ "github.com/zato-connect/zato-connect/processor"
	"github.com/zato-connect/zato-connect/simulator"
)

//go:embed page.md.tmpl
var pageTemplate string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: docgen FOLDER")
	}
	pages, err := allPages()
	if err != nil {
		return err
	}
	text, err := template.New("page").Funcs(template.FuncMap{
		"markdown": markdown, "trim": strings.TrimSpace, "fields": fields, "code": code,
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	for _, p := range pages {
		var b bytes.Buffer
		if err := text.Execute(&b, p); err != nil {
			return fmt.Errorf("%s: %w", p.File, err)
		}
		content := append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
		if err := os.WriteFile(filepath.Join(args[0], p.File), content, 0o644); err != nil { //nolint:gosec // for all to read
			return err
		}
	}
	return nil
}

// page is one page of the reference.
type page struct {
	service.TemplateDataPlugin

	File, Title string
}

// The fields of a connection have a page of their own, as all components have them.
const (
	connectionFile   = "connection.md"
	connectionPrefix = "connection."
)

// allPages makes a page for each component of ours, for what they share, and for the
// simulator.
func allPages() ([]page, error) {
	env := service.GlobalEnvironment()
	if err := simulator.Register(env); err != nil {
		return nil, err
	}
	pages, err := componentPages(env)
	if err != nil {
		return nil, err
	}
	connection := page{File: connectionFile, Title: "The connection object"}
	connection.Description = "Every component of ours has the same `connection` object. Components with equal " +
		"objects share their connections."
	for i := range pages {
		own := slices.DeleteFunc(slices.Clone(pages[i].Fields), ofConnection)
		connection.Fields = slices.DeleteFunc(pages[i].Fields, func(f service.TemplateDataPluginField) bool {
			return !ofConnection(f)
		})
		pages[i].Fields = own
	}
	simulators, err := env.FullConfigSchema("", "").TemplateData(simulator.Resource)
	if err != nil {
		return nil, err
	}
	simulated := page{File: simulator.Resource + ".md", Title: simulator.Resource}
	simulated.Description = "A list at the top of a configuration: simulated Zato servers, which run inside the pipeline."
	simulated.CommonConfigYAML, simulated.AdvancedConfigYAML = simulators.CommonConfigYAML, simulators.AdvancedConfigYAML
	simulated.Fields = simulators.Fields
	return append(pages, connection, simulated), nil
}

func ofConnection(f service.TemplateDataPluginField) bool {
	return strings.HasPrefix(f.FullName, connectionPrefix)
}

// componentPages makes a page for each component of ours.
func componentPages(env *service.Environment) ([]page, error) {
	var pages []page
	var faults []error
	add := func(name string, view *service.ConfigView) {
		if !strings.HasPrefix(name, "zato_") {
			return
		}
		data, err := view.TemplateData()
		faults = append(faults, err)
		pages = append(pages, page{data, name + "_" + data.Type + ".md", name + " " + data.Type})
	}
	env.WalkInputs(add)
	env.WalkOutputs(add)
	env.WalkProcessors(add)
	return pages, errors.Join(faults...)
}
