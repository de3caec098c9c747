package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// credentialsPollInterval is how often a client that was rejected checks whether its
// credentials have changed.
const credentialsPollInterval = time.Second

// readSecret returns the secret for one login.
func readSecret(ctx context.Context, cfg *Config) (Secret, error) {
	if cfg.SecretFunc == nil {
		return cfg.Secret, nil
	}
	secret, err := cfg.SecretFunc(ctx)
	if err == nil && !utf8.ValidString(secret.Reveal()) {
		err = &InvalidError{"secret", "is not valid UTF-8"}
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return secret, nil
}

// loadTLS returns the TLS configuration for one connection.
func loadTLS(cfg *Config) (*tls.Config, error) {
	if cfg.TLSFunc == nil {
		return cfg.TLS, nil
	}
	conf, err := cfg.TLSFunc()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return conf, nil
}

// awaitNextAttempt waits for delay before the next attempt to connect. It returns early
// when the client is closed, and when the credentials that made the last attempt fail
// with err have changed.
func (c *Client) awaitNextAttempt(delay time.Duration, err error) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	poll := time.NewTicker(credentialsPollInterval)
	defer poll.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-c.ctx.Done():
			return
		case <-poll.C:
			if c.credentialsChanged(err) {
				return
			}
		}
	}
}

// credentialsChanged reports whether an attempt that failed with err may now succeed,
// because the secret is no longer the refused one or because the credentials can be read.
func (c *Client) credentialsChanged(err error) bool {
	refused := errors.Is(err, ErrLoginRefused) && c.cfg.SecretFunc != nil
	if !refused && !errors.Is(err, ErrCredentials) {
		return false
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timeout)
	defer cancel()
	secret, secretErr := readSecret(ctx, &c.cfg)
	if refused {
		return secretErr == nil && secret != c.lastSecret
	}
	_, tlsErr := loadTLS(&c.cfg)
	return secretErr == nil && tlsErr == nil
}
