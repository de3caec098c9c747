package input

import (
	"bytes"
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

// subKeyCache remembers the keys of subscriptions in a cache of the engine, so that a
// later process can resume them.
type subKeyCache struct {
	res           *service.Resources
	cache, prefix string
	// owner names this input of this process, for whoever finds its keys.
	owner string
}

// cachedKey is what the cache holds for a topic.
type cachedKey struct {
	SubKey string `json:"sub_key"`
	// Replaces is a hash of the key that the configuration names, where that one
	// could not be resumed.
	Replaces string `json:"instead_of,omitempty"`
	// Owner has an entry of its own. It is another at every start, and the cache of a
	// process that is killed while it writes to a file has nothing in that file: an owner
	// may be lost like that, but not a key.
	Owner string `json:"-"`
}

// replaces is what stands for a configured key in an entry.
func replaces(configured wsx.SubKey) string {
	if configured == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(configured.Reveal()))
	return hex.EncodeToString(sum[:])
}

// errNoCachedKey says that the cache has no key for a topic, or nothing that is one.
var errNoCachedKey = errors.New("no key is remembered")

func newSubKeyCache(res *service.Resources, cache, prefix string) (*subKeyCache, error) {
	if !res.HasCache(cache) {
		return nil, fmt.Errorf("field %s: there is no cache resource with the label %q", fieldCache, cache)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	owner := fmt.Sprintf("process %d on %s (%s)", os.Getpid(), host, strings.ToLower(rand.Text()[:6]))
	return &subKeyCache{res: res, cache: cache, prefix: prefix, owner: owner}, nil
}

// entry is the key of a topic in the cache. Caches of files take no slash.
func (k *subKeyCache) entry(topic string) string { return k.prefix + url.PathEscape(topic) }

// ownerEntry is that of its owner, which no topic has.
func (k *subKeyCache) ownerEntry(topic string) string { return k.entry(topic) + "#owner" }

// access uses the cache. An error of the cache itself names it.
func (k *subKeyCache) access(ctx context.Context, use func(service.Cache) error) error {
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
func (k *subKeyCache) load(ctx context.Context, sub wsx.Subscription) (cachedKey, error) {
	var content, owner []byte
	err := k.access(ctx, func(c service.Cache) error {
		var err error
		if content, err = c.Get(ctx, k.entry(sub.Topic)); err != nil {
			return err
		}
		if owner, err = c.Get(ctx, k.ownerEntry(sub.Topic)); errors.Is(err, service.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	switch {
	case errors.Is(err, service.ErrKeyNotFound):
		return cachedKey{}, fmt.Errorf("%w in cache %q", errNoCachedKey, k.cache)
	case err != nil:
		return cachedKey{}, err
	}
	r := cachedKey{Owner: string(owner)}
	if json.Unmarshal(content, &r) != nil || r.SubKey == "" {
		return cachedKey{}, fmt.Errorf("%w in cache %q: what is there instead cannot be read", errNoCachedKey, k.cache)
	}
	if r.Replaces != replaces(sub.Key) {
		return cachedKey{}, fmt.Errorf("%w in cache %q: what is there is for another configuration", errNoCachedKey, k.cache)
	}
	return r, nil
}

// store remembers the key of a subscription, as it is configured, as this input's. A key
// that is remembered already is not touched.
func (k *subKeyCache) store(ctx context.Context, sub wsx.Subscription, key wsx.SubKey) error {
	content, err := json.Marshal(cachedKey{SubKey: key.Reveal(), Replaces: replaces(sub.Key)})
	if err != nil {
		return err
	}
	return k.access(ctx, func(c service.Cache) error {
		if known, err := c.Get(ctx, k.entry(sub.Topic)); err != nil || !bytes.Equal(known, content) {
			if err := c.Set(ctx, k.entry(sub.Topic), content, nil); err != nil {
				return err
			}
		}
		return c.Set(ctx, k.ownerEntry(sub.Topic), []byte(k.owner), nil)
	})
}

// forget removes what is remembered of a topic.
func (k *subKeyCache) forget(ctx context.Context, topic string) error {
	for _, entry := range []string{k.entry(topic), k.ownerEntry(topic)} {
		err := k.access(ctx, func(c service.Cache) error { return c.Delete(ctx, entry) })
		if err != nil && !errors.Is(err, service.ErrKeyNotFound) {
			return err
		}
	}
	return nil
}
