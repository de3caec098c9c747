package cli

import (
	"fmt"

	ucli "github.com/urfave/cli/v2"
)

// requireText returns an error if a flag of the command is given an empty text, as a script does whose variable is not
// set. The command would go on as without the flag. The variables of a flag may be empty.
func requireText(c *ucli.Context) error {
	for _, flag := range c.Command.Flags {
		name := flag.Names()[0]
		documented, ok := flag.(ucli.DocGenerationFlag)
		if !ok || len(documented.GetEnvVars()) > 0 || !c.IsSet(name) {
			continue
		}
		if c.Value(name) == "" {
			return fmt.Errorf("--%s is empty: give it a value or leave it out", name)
		}
	}
	return nil
}

// requirePositive returns an error if the number of a flag is given and less than 1. To the command, zero means that
// the flag is not given.
func requirePositive(c *ucli.Context, flag string) error {
	if n := c.Int(flag); c.IsSet(flag) && n < 1 {
		return fmt.Errorf("--%s is %d: use 1 or more", flag, n)
	}
	return nil
}
