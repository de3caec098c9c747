package input

import (
	"errors"
	"fmt"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// settings are the parsed fields of the zato_wsx input, except the connection.
type settings struct {
	subscriptions      []wsx.Subscription
	cache, cachePrefix string
	journalPath        string
	journalSize        int
	unsubscribeOnClose bool
	respond            bool
	dropExpired        bool
	prefetch           int
	metadata           []metadataField
	retry              bool

	// pushFields are the fields that say how Zato is to push messages. If there are none, messages are fetched if the
	// gateway can hand them out, from subscriptions with this name.
	pushFields []string
	name       string
	shared     bool
}

func parse(conf *service.ParsedConfig) (*settings, error) {
	s := &settings{}
	var errs [12]error
	var metadata string
	s.cache, errs[0] = conf.FieldString(fieldCache)
	s.cachePrefix, errs[1] = conf.FieldString(fieldCachePrefix)
	s.journalPath, errs[2] = conf.FieldString(fieldJournal, fieldPath)
	s.journalSize, errs[3] = config.ParsePositive(conf, fieldJournal, fieldMaxSize)
	s.unsubscribeOnClose, errs[4] = conf.FieldBool(fieldUnsubscribe)
	s.respond, errs[5] = conf.FieldBool(fieldRespond)
	s.prefetch, errs[6] = config.ParsePositive(conf, fieldPrefetch)
	metadata, errs[7] = conf.FieldString(fieldMetadata)
	s.metadata = metadataOf(metadata)
	s.retry, errs[8] = conf.FieldBool(service.AutoRetryNacksToggleFieldName)
	s.subscriptions, errs[9] = s.parseSubscriptions(conf)
	errs[10] = s.parseName(conf)
	s.dropExpired, errs[11] = conf.FieldBool(fieldDropExpired)
	return s, errors.Join(errs[:]...)
}

// parseName parses how messages are fetched. It needs the other fields.
func (s *settings) parseName(conf *service.ParsedConfig) error {
	var errs [4]error
	var gateway, mode string
	s.name, errs[0] = conf.FieldString(fieldSubscription)
	s.shared, errs[1] = conf.FieldBool(fieldShared)
	gateway, errs[2] = conf.FieldString(config.FieldConnection, config.FieldGateway)
	mode, errs[3] = conf.FieldString(fieldMode)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	s.findPushFields(conf, mode)
	switch {
	case (s.name != "" || s.shared) && gateway == config.GatewayStock:
		return errStockGateway
	case s.pushes() && (s.name != "" || s.shared || gateway == config.GatewayConnect):
		return errPushFields
	case s.name != "":
		if err := wsx.ValidateSubscriptionName(s.name); err != nil {
			return fmt.Errorf("field %s: %w", fieldSubscription, err)
		}
	}
	return nil
}

// findPushFields sets pushFields.
func (s *settings) findPushFields(conf *service.ParsedConfig, mode string) {
	keys := slices.ContainsFunc(s.subscriptions, func(sub wsx.Subscription) bool { return sub.Key != "" })
	for _, field := range []struct {
		name string
		set  bool
	}{
		{fieldCache, s.cache != ""},
		{fieldSubKeys, keys},
		{fieldMode, mode != modeSubscribeOrResume},
		{fieldDurable, conf.Contains(fieldDurable)},
		{fieldRespond, s.respond},
	} {
		if field.set {
			s.pushFields = append(s.pushFields, field.name)
		}
	}
}

// pushes reports whether Zato pushes messages even if the gateway can hand them out.
func (s *settings) pushes() bool { return len(s.pushFields) > 0 }

// useLabel makes the label of the input the name of its subscriptions, unless they have another one.
func (s *settings) useLabel(label string) error {
	if s.name == "" && !s.pushes() {
		s.name = label
	}
	if s.name == "" && s.shared {
		return fmt.Errorf("field %s: needs a name: set %s, or give the input a label", fieldShared, fieldSubscription)
	}
	return nil
}

// parseSubscriptions returns a subscription for each topic. It needs s.cache.
func (s *settings) parseSubscriptions(conf *service.ParsedConfig) ([]wsx.Subscription, error) {
	var errs [4]error
	var topics []string
	var keys map[string]string
	var modeName string
	var durable bool
	topics, errs[0] = conf.FieldStringList(fieldTopics)
	keys, errs[1] = conf.FieldStringMap(fieldSubKeys)
	modeName, errs[2] = conf.FieldString(fieldMode)
	durable, errs[3] = s.parseDurable(conf)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("field %s: the list is empty: add at least one topic", fieldTopics)
	}
	var out []wsx.Subscription
	for i, topic := range topics {
		if topic == "" || slices.Contains(topics[:i], topic) {
			return nil, fmt.Errorf("field %s: topic %q is empty or listed twice", fieldTopics, topic)
		}
		sub := wsx.Subscription{Topic: topic, Key: wsx.SubKey(keys[topic]), Durable: durable}
		var err error
		if sub.Mode, err = s.parseMode(modeName, sub); err != nil {
			return nil, err
		}
		out = append(out, sub)
	}
	return out, nil
}

// parseDurable returns the field durable. By default, subscriptions are durable if their keys are cached.
func (s *settings) parseDurable(conf *service.ParsedConfig) (bool, error) {
	if !conf.Contains(fieldDurable) {
		return s.cache != "", nil
	}
	return conf.FieldBool(fieldDurable)
}

func (s *settings) parseMode(name string, sub wsx.Subscription) (wsx.Mode, error) {
	switch {
	case name == modeSubscribe:
		return wsx.SubscribeNew, nil
	case name == modeSubscribeOrResume:
		return wsx.SubscribeOrResume, nil
	case name == modeResume && (sub.Key != "" || s.cache != ""):
		return wsx.ResumeOnly, nil
	case name == modeResume:
		return 0, fmt.Errorf("field %s: topic %q has no key, which mode %s needs: add the key, or set %s",
			fieldSubKeys, sub.Topic, modeResume, fieldCache)
	}
	return 0, fmt.Errorf("field %s: %q is not a mode", fieldMode, name)
}
