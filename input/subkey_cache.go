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

// subKeyCache keeps the keys of subscriptions in a cache resource, so that a later process can resume them.
type subKeyCache struct {
	res           *service.Resources
	cache, prefix string
	// owner identifies this input in this process to other processes that share the cache.
	owner string
}

// cachedKey is what the cache has for a topic.
type cachedKey struct {
	SubKey string `json:"sub_key"`
	// Replaces is a hash of the configured key, if that key could not be resumed and SubKey is used in its place.
	Replaces string `json:"instead_of,omitempty"`
	// Owner is kept in an entry of its own, because it changes with every start. The file cache truncates a file
	// before it writes it, so a process that is killed meanwhile leaves the file empty. The owner may be lost like
	// that, but the key must not be.
	Owner string `json:"-"`
}

// hashOf returns the hash of a configured key for cachedKey.Replaces. It is empty if no key is configured.
func hashOf(configured wsx.SubKey) string {
	if configured == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(configured.Reveal()))
	return hex.EncodeToString(sum[:])
}

// errNoCachedKey means that the cache has no usable key for a topic.
var errNoCachedKey = errors.New("no usable key")

func newSubKeyCache(res *service.Resources, cache, prefix string) (*subKeyCache, error) {
	if !res.HasCache(cache) {
		return nil, fmt.Errorf("field %s: no cache resource has the label %q", fieldCache, cache)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	owner := fmt.Sprintf("process %d on %s (%s)", os.Getpid(), host, strings.ToLower(rand.Text()[:6]))
	return &subKeyCache{res: res, cache: cache, prefix: prefix, owner: owner}, nil
}

// keyEntry returns the name of the entry that has the key of a topic. The topic is escaped, because the file cache
// accepts no slash.
func (k *subKeyCache) keyEntry(topic string) string { return k.prefix + url.PathEscape(topic) }

// ownerEntry returns the name of the entry that has the owner. No escaped topic contains a "#".
func (k *subKeyCache) ownerEntry(topic string) string { return k.keyEntry(topic) + "#owner" }

// access calls use with the cache. An error other than service.ErrKeyNotFound names the cache.
func (k *subKeyCache) access(ctx context.Context, use func(service.Cache) error) error {
	var err error
	if accessErr := k.res.AccessCache(ctx, k.cache, func(c service.Cache) { err = use(c) }); accessErr != nil {
		err = accessErr
	}
	if err != nil && !errors.Is(err, service.ErrKeyNotFound) {
		return fmt.Errorf("using cache %q: %w", k.cache, err)
	}
	return err
}

// load returns the cached key for a configured subscription. It returns errNoCachedKey if there is none, and another
// error if the cache fails.
func (k *subKeyCache) load(ctx context.Context, sub wsx.Subscription) (cachedKey, error) {
	var content, owner []byte
	err := k.access(ctx, func(c service.Cache) error {
		var err error
		if content, err = c.Get(ctx, k.keyEntry(sub.Topic)); err != nil {
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
	key := cachedKey{Owner: string(owner)}
	if json.Unmarshal(content, &key) != nil || key.SubKey == "" {
		return cachedKey{}, fmt.Errorf("%w in cache %q: the entry cannot be parsed", errNoCachedKey, k.cache)
	}
	if key.Replaces != hashOf(sub.Key) {
		return cachedKey{}, fmt.Errorf("%w in cache %q: the entry was made with another key in %s",
			errNoCachedKey, k.cache, fieldSubKeys)
	}
	return key, nil
}

// save caches the key of a configured subscription, with this input as its owner. It does not write a key that is
// cached already.
func (k *subKeyCache) save(ctx context.Context, sub wsx.Subscription, key wsx.SubKey) error {
	content, err := json.Marshal(cachedKey{SubKey: key.Reveal(), Replaces: hashOf(sub.Key)})
	if err != nil {
		return err
	}
	return k.access(ctx, func(c service.Cache) error {
		if cached, err := c.Get(ctx, k.keyEntry(sub.Topic)); err != nil || !bytes.Equal(cached, content) {
			if err := c.Set(ctx, k.keyEntry(sub.Topic), content, nil); err != nil {
				return err
			}
		}
		return c.Set(ctx, k.ownerEntry(sub.Topic), []byte(k.owner), nil)
	})
}

// remove deletes the entries of a topic.
func (k *subKeyCache) remove(ctx context.Context, topic string) error {
	for _, entry := range []string{k.keyEntry(topic), k.ownerEntry(topic)} {
		err := k.access(ctx, func(c service.Cache) error { return c.Delete(ctx, entry) })
		if err != nil && !errors.Is(err, service.ErrKeyNotFound) {
			return err
		}
	}
	return nil
}
