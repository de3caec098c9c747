package cli

import (
	"bytes"
	"encoding/json"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"
)

// Schema returns the command that prints the JSON schema of configurations.
func Schema(schema func() *service.ConfigSchema) *ucli.Command {
	return &ucli.Command{
		Name:  "schema",
		Usage: "Print the JSON schema of configurations, for editors",
		Description: `
The schema describes the fields of all components in this binary, and the simulators. To
use it, write it to a file:

  zato-connect schema > zato-connect.schema.json

Then make this the first line of a configuration. Editors with a YAML language server
complete field names and show their types:

  # yaml-language-server: $schema=zato-connect.schema.json

The schema is the engine's own and does not report unknown fields in components. The lint
command does.`[1:],
		Action: func(c *ucli.Context) error {
			text, err := schema().MarshalJSONSchema()
			if err != nil {
				return err
			}
			var lines bytes.Buffer // one line for each value, so that two versions can be compared
			if err := json.Indent(&lines, text, "", ""); err != nil {
				return err
			}
			lines.WriteByte('\n')
			_, err = lines.WriteTo(c.App.Writer)
			return err
		},
	}
}
