package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Connection is a parsed connection object.
type Connection struct {
	// Client is the configuration of each connection. Its callbacks and its Logger are not
	// set.
	Client wsx.Config
	// MaxConnections is the limit of connections for calls.
	MaxConnections int

	key string
}

// Key returns a string that is the same for equal connection objects, with defaults filled
// in. It does not reveal their contents, and does not depend on the content of the variables
// and files that they name.
func (c *Connection) Key() string { return c.key }

// ParseConnection parses the connection object of a component. It reads the variables and
// files that the object names, to find mistakes before the first connection. Its error names
// the field.
func ParseConnection(conf *service.ParsedConfig) (*Connection, error) {
	key, err := fingerprint(conf)
	if err != nil {
		return nil, err
	}
	p := parser{conf: conf.Namespace(FieldConnection)}
	c := &Connection{
		key:            key,
		MaxConnections: p.positive(fieldMaxConnections),
		Client: wsx.Config{
			Address:            p.str(fieldAddress),
			Username:           p.str(fieldUsername),
			Gateway:            p.gateway(FieldGateway),
			ClientID:           p.str(fieldClientID),
			ClientName:         p.str(fieldClientName),
			Attributes:         p.strMap(fieldAttributes),
			Timeout:            p.duration(fieldTimeout),
			PingInterval:       p.duration(fieldPingInterval),
			CallsPerConnection: p.positive(fieldCallsPerConnection),
			MaxMessageSize:     int64(p.positive(fieldMaxMessageSize)),
			InitialBackOff:     p.duration(fieldBackOff, fieldInitialInterval),
			MaxBackOff:         p.duration(fieldBackOff, fieldMaxInterval),
			ProxyURL:           p.proxy(fieldProxyURL),
			Headers:            p.headers(fieldHeaders),
		},
	}
	p.secret(&c.Client)
	p.tls(&c.Client)
	if err := errors.Join(p.err, c.Client.Validate()); err != nil {
		return nil, fmt.Errorf("field %s: %w", FieldConnection, err)
	}
	return c, nil
}

// fingerprint returns a hash of the connection object, because the object itself holds the
// secret.
func fingerprint(conf *service.ParsedConfig) (string, error) {
	object, err := conf.FieldAny(FieldConnection)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("field %s: %w", FieldConnection, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// parser reads fields and keeps the first error.
type parser struct {
	conf *service.ParsedConfig
	err  error
}

func (p *parser) setErr(field string, err error) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%s: %w", field, err)
	}
}

func (p *parser) str(field string) string {
	v, err := p.conf.FieldString(field)
	p.setErr(field, err)
	return v
}

func (p *parser) strMap(field string) map[string]string {
	v, err := p.conf.FieldStringMap(field)
	p.setErr(field, err)
	return v
}

func (p *parser) duration(path ...string) time.Duration {
	v, err := p.conf.FieldDuration(path...)
	if err == nil && v < minDuration {
		err = fmt.Errorf("is %s: use %s or more", v, minDuration)
	}
	p.setErr(strings.Join(path, "."), err)
	return v
}

func (p *parser) positive(path ...string) int {
	v, err := p.conf.FieldInt(path...)
	if err == nil && v < 1 {
		err = fmt.Errorf("is %d: use 1 or more", v)
	}
	p.setErr(strings.Join(path, "."), err)
	return v
}

// ParseDuration parses a duration of a millisecond or more. Its error names the field.
func ParseDuration(conf *service.ParsedConfig, field string) (time.Duration, error) {
	p := parser{conf: conf}
	v := p.duration(field)
	return v, p.fieldErr()
}

// ParsePositive parses an integer of 1 or more. Its error names the field by its path: the
// objects that contain the field, and the field.
func ParsePositive(conf *service.ParsedConfig, path ...string) (int, error) {
	p := parser{conf: conf}
	v := p.positive(path...)
	return v, p.fieldErr()
}

func (p *parser) fieldErr() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("field %w", p.err)
}

func (p *parser) headers(field string) http.Header {
	out := http.Header{}
	for k, v := range p.strMap(field) {
		out.Set(k, v)
	}
	return out
}

func (p *parser) proxy(field string) *url.URL {
	text := p.str(field)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		// The error of url.Parse contains the URL, which may contain a password.
		p.setErr(field, errors.New("is not a URL with a host: use a URL such as http://host:port"))
		return nil
	}
	return u
}

func (p *parser) gateway(field string) wsx.Gateway {
	switch name := p.str(field); name {
	case gatewayAuto:
		return wsx.GatewayAuto
	case GatewayStock:
		return wsx.GatewayStock
	case GatewayConnect:
		return wsx.GatewayConnect
	default:
		p.setErr(field, fmt.Errorf("is %q: use %s, %s or %s", name, gatewayAuto, GatewayStock, GatewayConnect))
		return wsx.GatewayAuto
	}
}
