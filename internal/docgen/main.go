// Command docgen writes the reference of the components as Markdown pages, from the specs of
// the components. Its argument is the directory of the pages.
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

	"github.com/zato-connect/zato-connect/files"
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
		return errors.New("wrong number of arguments: usage: docgen DIRECTORY")
	}
	pages, err := allPages()
	if err != nil {
		return err
	}
	tmpl, err := template.New("page").Funcs(template.FuncMap{
		"markdown": markdown, "trim": strings.TrimSpace, "fields": fields, "code": code,
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	for _, p := range pages {
		var b bytes.Buffer
		if err := tmpl.Execute(&b, p); err != nil {
			return fmt.Errorf("rendering %s: %w", p.File, err)
		}
		content := append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
		if err := os.WriteFile(filepath.Join(args[0], p.File), content, 0o644); err != nil { //nolint:gosec // public files
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

// The fields of a connection are on their own page, because all components have them.
const (
	connectionFile   = "connection.md"
	connectionPrefix = "connection."
)

// allPages returns the pages of this project's components, of the connection object that
// they share, and of the simulator.
func allPages() ([]page, error) {
	env := service.GlobalEnvironment()
	if err := errors.Join(simulator.Register(env), files.Register(env, &files.Report{})); err != nil {
		return nil, err
	}
	pages, err := componentPages(env)
	if err != nil {
		return nil, err
	}
	connection := page{File: connectionFile, Title: "The connection object"}
	connection.Description = "All Zato components have the same `connection` object. Components of a stream " +
		"with equal objects share their connections."
	for i := range pages {
		own := slices.DeleteFunc(slices.Clone(pages[i].Fields), isConnectionField)
		connection.Fields = slices.DeleteFunc(pages[i].Fields, func(f service.TemplateDataPluginField) bool {
			return !isConnectionField(f)
		})
		pages[i].Fields = own
	}
	simulators, err := env.FullConfigSchema("", "").TemplateData(simulator.Resource)
	if err != nil {
		return nil, err
	}
	simulatorPage := page{File: simulator.Resource + ".md", Title: simulator.Resource}
	simulatorPage.Description = "A top-level field of a configuration: a list of simulated Zato servers, which run " +
		"in the process of the pipeline. The engine supports it only in the main file of the command `run`. The command " +
		"`lint` accepts it in other files too, but `run` and `streams` refuse to start if it is in a file of `-r`, in " +
		"the file of `streams -o` or in a stream. There, run the simulators in a process of their own."
	simulatorPage.CommonConfigYAML = simulators.CommonConfigYAML
	simulatorPage.AdvancedConfigYAML = simulators.AdvancedConfigYAML
	simulatorPage.Fields = simulators.Fields
	return append(pages, connection, simulatorPage), nil
}

func isConnectionField(f service.TemplateDataPluginField) bool {
	return strings.HasPrefix(f.FullName, connectionPrefix)
}

// componentPages returns the pages of this project's components.
func componentPages(env *service.Environment) ([]page, error) {
	var pages []page
	var errs []error
	add := func(name string, view *service.ConfigView) {
		if !strings.HasPrefix(name, "zato_") && !strings.HasPrefix(name, "file_") {
			return
		}
		data, err := view.TemplateData()
		errs = append(errs, err)
		pages = append(pages, page{data, name + "_" + data.Type + ".md", name + " " + data.Type})
	}
	env.WalkInputs(add)
	env.WalkOutputs(add)
	env.WalkProcessors(add)
	return pages, errors.Join(errs...)
}
