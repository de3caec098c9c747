package tracer

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// settings are the parsed fields.
type settings struct {
	url, serviceName      string
	headers               map[string]string
	ratio                 float64
	timeout, flushTimeout time.Duration
}

func parse(conf *service.ParsedConfig) (*settings, error) {
	s := &settings{}
	var errs [6]error
	s.url, errs[0] = parseURL(conf)
	s.serviceName, errs[1] = conf.FieldString(fieldServiceName)
	s.headers, errs[2] = conf.FieldStringMap(fieldHeaders)
	s.ratio, errs[3] = conf.FieldFloat(fieldRatio)
	if s.ratio < 0 || s.ratio > 1 {
		errs[3] = fmt.Errorf("field %s: is %v: use 0 to 1", fieldRatio, s.ratio)
	}
	s.timeout, errs[4] = config.ParseDuration(conf, fieldTimeout)
	s.flushTimeout, errs[5] = config.ParseDuration(conf, fieldFlushTimeout)
	return s, errors.Join(errs[:]...)
}

// parseURL reads the address. The exporter would drop credentials and a query without a
// word, and send to the root where there is no path.
func parseURL(conf *service.ParsedConfig) (string, error) {
	text, err := conf.FieldString(fieldURL)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("field %s: is no URL", fieldURL) // the error would show credentials in it
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Path == "", u.Path == "/",
		u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("field %s: must be like http://host:4318/v1/traces, with the path; credentials go to %s",
			fieldURL, fieldHeaders)
	}
	return text, nil
}
