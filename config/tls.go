package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the fields of the engine's tls object that name files.
const (
	fieldRootCAsFile = "root_cas_file"
	fieldClientCerts = "client_certs"
	fieldCertFile    = "cert_file"
	fieldKeyFile     = "key_file"
)

// tls parses the tls object. If it names files, they are read again for each connection.
func (p *parser) tls(c *wsx.Config) {
	paths, err := p.tlsFiles()
	p.setErr(fieldTLS, err)
	conf, enabled, err := loadTLS(p.conf, paths)
	p.setErr(fieldTLS, err)
	switch {
	case !enabled:
	case len(paths) == 0:
		c.TLS = conf
	default:
		c.TLSFunc = func() (*tls.Config, error) {
			conf, _, err := loadTLS(p.conf, paths)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", FieldConnection, fieldTLS, err)
			}
			return conf, nil
		}
	}
}

// tlsFiles returns the paths of the files that the tls object names.
func (p *parser) tlsFiles() ([]string, error) {
	authority, err := p.conf.FieldString(fieldTLS, fieldRootCAsFile)
	if err != nil {
		return nil, err
	}
	paths := []string{authority}
	certificates, err := p.conf.FieldObjectList(fieldTLS, fieldClientCerts)
	if err != nil {
		return nil, err
	}
	for _, certificate := range certificates {
		for _, field := range []string{fieldCertFile, fieldKeyFile} {
			path, err := certificate.FieldString(field)
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	named := paths[:0]
	for _, path := range paths {
		if path != "" {
			named = append(named, path)
		}
	}
	return named, nil
}

// loadTLS parses the tls object of a connection and reads the files that it names. Its
// error contains the paths.
func loadTLS(conf *service.ParsedConfig, paths []string) (parsed *tls.Config, enabled bool, err error) {
	parsed, enabled, err = conf.FieldTLSToggled(fieldTLS)
	if err == nil && enabled && parsed.RootCAs != nil && parsed.RootCAs.Equal(x509.NewCertPool()) {
		err = errors.New("the authorities contain no certificate in PEM format")
	}
	if err != nil && len(paths) > 0 {
		err = fmt.Errorf("reading %s: %w: correct these files", strings.Join(paths, ", "), err)
	}
	return parsed, enabled, err
}
