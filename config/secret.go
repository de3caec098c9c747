package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// maxSecretSize is the size of the largest secret in a variable or a file, in bytes.
const maxSecretSize = 64 << 10

// variableName matches the usual form of the name of an environment variable.
var variableName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

// secret parses the fields that can contain or name the secret.
func (p *parser) secret(c *wsx.Config) {
	literal, variable, path := p.str(fieldSecret), p.str(fieldSecretEnv), p.str(fieldSecretFile)
	sources := 0
	for _, source := range []string{literal, variable, path} {
		if source != "" {
			sources++
		}
	}
	var err error
	switch {
	case sources > 1:
		p.setErr(fieldSecret, fmt.Errorf("set only one of %s, %s and %s", fieldSecret, fieldSecretEnv, fieldSecretFile))
	case variable != "":
		c.Secret, err = secretFromEnv(variable)
		p.setErr(fieldSecretEnv, err)
	case path != "":
		files := p.conf.Resources().FS()
		_, err = SecretFromFile(files, path)
		p.setErr(fieldSecretFile, err)
		c.SecretFunc = func(context.Context) (wsx.Secret, error) {
			secret, err := SecretFromFile(files, path)
			if err != nil {
				return "", fmt.Errorf("%s.%s: %w", FieldConnection, fieldSecretFile, err)
			}
			return secret, nil
		}
	default:
		c.Secret = wsx.Secret(literal)
	}
}

// secretFromEnv returns the value of an environment variable. Its error contains the name
// only if it looks like one: a configuration with ${NAME} instead of NAME contains the
// secret in place of the name.
func secretFromEnv(name string) (wsx.Secret, error) {
	text, found := os.LookupEnv(name)
	switch {
	case found:
		return parseSecret("the variable "+name, text)
	case variableName.MatchString(name):
		return "", fmt.Errorf("the variable %s is not set: set it, or use the name of another variable", name)
	}
	return "", errors.New("no variable has this name: write the name of a variable, such as ZATO_WSX_SECRET, " +
		"without ${ and }")
}

// SecretFromFile returns the content of a file without one trailing newline. It returns an error if the file is not a
// regular file, is empty or too large, or is not valid UTF-8.
func SecretFromFile(files *service.FS, path string) (wsx.Secret, error) {
	// Opening a named pipe would block, and its content can be read only once.
	info, err := files.Stat(path)
	if err != nil {
		return "", unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file: use a file that can be read again for each login", path)
	}
	file, err := files.Open(path)
	if err != nil {
		return "", unreadable(err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(file, maxSecretSize+int64(len("\r\n"))+1))
	if err != nil {
		return "", unreadable(err)
	}
	text, ended := strings.CutSuffix(string(content), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return parseSecret("the file "+path, text)
}

// unreadable adds what to do to the error of a file, which contains its path.
func unreadable(err error) error {
	return fmt.Errorf("%w: create the file, and make it readable for the user of this process", err)
}

// parseSecret checks a secret. Its error names the source.
func parseSecret(source, text string) (wsx.Secret, error) {
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty: store the secret there, or remove the field if the channel has none", source)
	case len(text) > maxSecretSize:
		return "", fmt.Errorf("%s is larger than %d bytes: store only the secret there", source, maxSecretSize)
	case !utf8.ValidString(text):
		return "", fmt.Errorf("%s is not valid UTF-8: store the secret there as UTF-8 text", source)
	}
	return wsx.Secret(text), nil
}
