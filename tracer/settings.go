package tracer

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// settings holds the parsed fields.
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
		errs[3] = fmt.Errorf("field %s: is %v: use a number from 0 to 1", fieldRatio, s.ratio)
	}
	s.timeout, errs[4] = config.ParseDuration(conf, fieldTimeout)
	s.flushTimeout, errs[5] = config.ParseDuration(conf, fieldFlushTimeout)
	return s, errors.Join(errs[:]...)
}

// parseURL parses the URL of the collector. It rejects credentials and queries, which the
// exporter would silently drop, and URLs without a path, with which it would send to the root.
func parseURL(conf *service.ParsedConfig) (string, error) {
	text, err := conf.FieldString(fieldURL)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		// The error of url.Parse contains the URL, which may contain credentials.
		return "", fmt.Errorf("field %s: is not a URL: use a URL such as http://host:4318/v1/traces", fieldURL)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Path == "", u.Path == "/",
		u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("field %s: is not a URL with only a host and a path: "+
			"use a URL such as http://host:4318/v1/traces, and %s for credentials", fieldURL, fieldHeaders)
	}
	return text, nil
}
