package cli

import (
	"bytes"
	"encoding/json"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"
)

// Schema is the command that prints the JSON schema of configurations.
func Schema(schema func() *service.ConfigSchema) *ucli.Command {
	return &ucli.Command{
		Name:  "schema",
		Usage: "Print the JSON schema of configurations, for editors",
		Description: `
The schema knows all fields of all components of this binary, and the simulators. With

  zato-connect schema > zato-connect.schema.json

and this as the first line of a configuration, editors that have a YAML language server
complete fields and know their types:

  # yaml-language-server: $schema=zato-connect.schema.json

It is the engine's own schema, which overlooks unknown fields within components; the
lint command does not.`[1:],
		Action: func(c *ucli.Context) error {
			text, err := schema().MarshalJSONSchema()
			if err != nil {
				return err
			}
			var lines bytes.Buffer // line by line, so that two of them can be compared
			if err := json.Indent(&lines, text, "", ""); err != nil {
				return err
			}
			lines.WriteByte('\n')
			_, err = lines.WriteTo(c.App.Writer)
			return err
		},
	}
}
