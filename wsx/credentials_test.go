package wsx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// secretSource is a source of secrets that counts how often it is read.
type secretSource struct {
	mu     sync.Mutex
	secret wsx.Secret
	err    error
	reads  int
}

func (s *secretSource) read(context.Context) (wsx.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.secret, s.err
}

// set sets what the source returns from now on.
func (s *secretSource) set(secret wsx.Secret, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret, s.err = secret, err
}

// count returns how often the source was read.
func (s *secretSource) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// use makes a client read its secret from s.
func (s *secretSource) use(cfg *wsx.Config) { cfg.Secret, cfg.SecretFunc = "", s.read }

func TestEachLoginUsesTheCurrentSecret(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		source := &secretSource{secret: "secret1"}
		c := s.connect(patchedPath, source.use)
		assert.Equal(t, 1, source.count())
		advance(time.Hour)
		assert.Equal(t, 1, source.count(), "the secret is read for logins only")

		source.set("secret2", nil)
		s.SetSecret(patchedPath, "secret2")
		s.Cut()
		synctest.Wait()
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Equal(t, 2, source.count())
		assert.Equal(t, 2, s.LoginAttempts(), "no login was refused")
	})
}

func TestNewSecretIsUsedSoonAfterARefusedLogin(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		source := &secretSource{secret: "secret1"}
		c := s.connect(patchedPath, source.use)
		s.SetSecret(patchedPath, "secret2")
		advance(time.Hour)
		s.Cut()
		synctest.Wait()
		require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrLoginRefused)
		logins := s.LoginAttempts()
		advance(10 * time.Second)
		assert.Equal(t, logins, s.LoginAttempts(), "the same secret is not tried again within seconds")

		source.set("", errors.New("the file is being replaced"))
		advance(2 * time.Second)
		assert.Equal(t, logins, s.LoginAttempts())
		source.set("secret2", nil)
		advance(1100 * time.Millisecond)
		assert.True(t, c.Connected())
		assert.Equal(t, logins+1, s.LoginAttempts())
	})
}

func TestSecretThatCannotBeReadIsReportedAndReadAgain(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		source := &secretSource{secret: "hidden", err: errors.New("/run/secret is missing")}
		c := s.newClient(patchedPath, source.use)
		err := c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrCredentials)
		require.ErrorContains(t, err, "the credentials could not be read: /run/secret is missing")
		assert.True(t, wsx.IsRejected(err))
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Equal(t, wsx.ReasonCredentials, wsx.ReasonOf(err))

		advance(10 * time.Minute)
		assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"), "logged once:\n%s", s.log.String())
		assert.Zero(t, s.LoginAttempts())

		source.set("hidden\xff", nil)
		advance(time.Minute)
		require.ErrorContains(t, c.AwaitReady(t.Context()), "secret: is not valid UTF-8")
		source.set("secret1", nil)
		advance(1100 * time.Millisecond)
		assert.True(t, c.Connected())
		assert.NotContains(t, s.log.String(), "hidden")
	})
}

func TestCloseEndsTheReadingOfASecret(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		var blocking atomic.Bool
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.Secret = ""
			cfg.SecretFunc = func(ctx context.Context) (wsx.Secret, error) {
				if blocking.Load() {
					<-ctx.Done()
				}
				return "wrong", ctx.Err()
			}
		})
		require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrLoginRefused)
		blocking.Store(true)
		advance(2 * time.Second) // the client reads the secret again
		start := time.Now()
		require.NoError(t, c.Close())
		assert.Less(t, time.Since(start), 2*time.Second)
	})
}

func TestEachConnectionUsesTheCurrentTLSConfiguration(t *testing.T) {
	conf, roots := certificate(t)
	withServer(t, func(s *testServer) {
		t := s.t
		var calls atomic.Int32
		var mismatch atomic.Bool
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.TLSFunc = func() (*tls.Config, error) {
				calls.Add(1)
				if mismatch.Load() {
					return nil, errors.New("/run/tls.key does not match")
				}
				return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}, nil
			}
		})
		assert.EqualValues(t, 1, calls.Load())
		mismatch.Store(true)
		advance(2 * time.Second)
		s.Cut()
		synctest.Wait()
		err := c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrCredentials)
		require.ErrorContains(t, err, "/run/tls.key does not match")
		mismatch.Store(false)
		advance(1100 * time.Millisecond)
		require.True(t, c.Connected())
	}, wsxtest.WithTLS(conf))
}
