package input

import (
	"errors"
	"fmt"
	"slices"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// settings are the parsed fields but for the connection.
type settings struct {
	subscriptions []wsx.Subscription
	unsubscribe   bool
	respond       bool
	prefetch      int
	metadata      []metadataField
}

func parse(conf *service.ParsedConfig) (*settings, error) {
	s := &settings{}
	var err error
	if s.subscriptions, err = parseSubscriptions(conf); err != nil {
		return nil, err
	}
	if s.unsubscribe, err = conf.FieldBool(fieldUnsubscribe); err != nil {
		return nil, err
	}
	if s.respond, err = conf.FieldBool(fieldRespond); err != nil {
		return nil, err
	}
	if s.prefetch, err = config.ParsePositive(conf, fieldPrefetch); err != nil {
		return nil, err
	}
	mode, err := conf.FieldString(fieldMetadata)
	if err != nil {
		return nil, err
	}
	s.metadata = metadataOf(mode)
	return s, nil
}

// parseSubscriptions makes a subscription of each topic.
func parseSubscriptions(conf *service.ParsedConfig) ([]wsx.Subscription, error) {
	topics, err := conf.FieldStringList(fieldTopics)
	if err != nil {
		return nil, err
	}
	keys, err := conf.FieldStringMap(fieldSubKeys)
	if err != nil {
		return nil, err
	}
	modeName, err := conf.FieldString(fieldMode)
	if err != nil {
		return nil, err
	}
	durable, err := conf.FieldBool(fieldDurable)
	if err != nil {
		return nil, err
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("field %s: at least one topic is needed", fieldTopics)
	}
	var out []wsx.Subscription
	for i, topic := range topics {
		if topic == "" || slices.Contains(topics[:i], topic) {
			return nil, fmt.Errorf("field %s: %q is empty or listed twice", fieldTopics, topic)
		}
		sub := wsx.Subscription{Topic: topic, Key: wsx.SubKey(keys[topic]), Durable: durable}
		if sub.Mode, err = parseMode(modeName, sub); err != nil {
			return nil, err
		}
		out = append(out, sub)
	}
	return out, nil
}

func parseMode(name string, sub wsx.Subscription) (wsx.Mode, error) {
	switch {
	case name == modeSubscribe:
		return wsx.SubscribeAnew, nil
	case name == modeSubscribeOrResume:
		return wsx.SubscribeOrResume, nil
	case name == modeResume && sub.Key != "":
		return wsx.ResumeOnly, nil
	case name == modeResume:
		return 0, fmt.Errorf("field %s: mode %s needs the key of topic %q", fieldSubKeys, modeResume, sub.Topic)
	}
	return 0, errors.New("field " + fieldMode + ": is not one of the modes")
}
