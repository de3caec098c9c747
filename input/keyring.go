package input

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// keyring remembers the keys of subscriptions in a cache of the engine, so that a
// later process can resume them.
type keyring struct {
	res           *service.Resources
	cache, prefix string
	// owner names this input of this process, for whoever finds its keys.
	owner string
}

// remembered is what the cache holds for a topic.
type remembered struct {
	SubKey string `json:"sub_key"`
	Owner  string `json:"owner"`
	// InsteadOf is a hash of the key that the configuration names, where that one
	// could not be resumed.
	InsteadOf string `json:"instead_of,omitempty"`
}

// insteadOf is what stands for a configured key in an entry.
func insteadOf(configured wsx.SubKey) string {
	if configured == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(configured.Reveal()))
	return hex.EncodeToString(sum[:])
}

// errForgotten says that the cache has no key for a topic, or nothing that is one.
var errForgotten = errors.New("no key is remembered")

func newKeyring(res *service.Resources, cache, prefix string) (*keyring, error) {
	if !res.HasCache(cache) {
		return nil, fmt.Errorf("field %s: there is no cache resource with the label %q", fieldCache, cache)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	owner := fmt.Sprintf("process %d on %s (%s)", os.Getpid(), host, strings.ToLower(rand.Text()[:6]))
	return &keyring{res: res, cache: cache, prefix: prefix, owner: owner}, nil
}

// entry is the key of a topic in the cache. Caches of files take no slash.
func (k *keyring) entry(topic string) string { return k.prefix + url.PathEscape(topic) }

// access uses the cache. An error of the cache itself names it.
func (k *keyring) access(ctx context.Context, use func(service.Cache) error) error {
	var err error
	if missing := k.res.AccessCache(ctx, k.cache, func(c service.Cache) { err = use(c) }); missing != nil {
		err = missing
	}
	if err != nil && !errors.Is(err, service.ErrKeyNotFound) {
		return fmt.Errorf("using cache %q: %w", k.cache, err)
	}
	return err
}

// load returns what is remembered of a subscription, as it is configured,
// errForgotten where that is nothing, and any other error where the cache cannot
// tell.
func (k *keyring) load(ctx context.Context, sub wsx.Subscription) (remembered, error) {
	var content []byte
	err := k.access(ctx, func(c service.Cache) error {
		var err error
		content, err = c.Get(ctx, k.entry(sub.Topic))
		return err
	})
	switch {
	case errors.Is(err, service.ErrKeyNotFound):
		return remembered{}, fmt.Errorf("%w in cache %q", errForgotten, k.cache)
	case err != nil:
		return remembered{}, err
	}
	var r remembered
	if json.Unmarshal(content, &r) != nil || r.SubKey == "" {
		return remembered{}, fmt.Errorf("%w in cache %q: what is there instead cannot be read", errForgotten, k.cache)
	}
	if r.InsteadOf != insteadOf(sub.Key) {
		return remembered{}, fmt.Errorf("%w in cache %q: what is there is for another configuration", errForgotten, k.cache)
	}
	return r, nil
}

// store remembers the key of a subscription, as it is configured, as this input's.
func (k *keyring) store(ctx context.Context, sub wsx.Subscription, key wsx.SubKey) error {
	content, err := json.Marshal(remembered{key.Reveal(), k.owner, insteadOf(sub.Key)})
	if err != nil {
		return err
	}
	return k.access(ctx, func(c service.Cache) error { return c.Set(ctx, k.entry(sub.Topic), content, nil) })
}

// forget removes what is remembered of a topic.
func (k *keyring) forget(ctx context.Context, topic string) error {
	err := k.access(ctx, func(c service.Cache) error { return c.Delete(ctx, k.entry(topic)) })
	if errors.Is(err, service.ErrKeyNotFound) {
		return nil
	}
	return err
}
