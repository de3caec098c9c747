package check

import (
	"fmt"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"
)

// Batching returns an error if a configuration batches the messages of a zato_wsx_requests
// input. The engine gives the response to a batch to the first of its messages, so one caller
// would get the answers of others.
func Batching(conf *service.ParsedConfig) error {
	root := map[string]any{}
	for _, section := range inputSections() {
		var err error
		if root[section], err = conf.FieldAny(section); err != nil {
			return err
		}
	}
	return checkBatching(root)
}

// inputSections returns the sections of a configuration that can contain inputs.
func inputSections() []string { return []string{"input", "input_resources"} }

// decodeNodes replaces the components of a section, which the engine parses later, by plain
// values.
func decodeNodes(value any) (any, error) {
	switch v := value.(type) {
	case *yaml.Node:
		var out any
		err := v.Decode(&out)
		return out, err
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			var err error
			if out[i], err = decodeNodes(item); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return value, nil
}

// checkBatching is Batching for the sections of a configuration.
func checkBatching(root map[string]any) error {
	b := batching{resources: map[string]any{}}
	plain := map[string]any{}
	for _, section := range inputSections() {
		var err error
		if plain[section], err = decodeNodes(root[section]); err != nil {
			return err
		}
	}
	resources, _ := plain["input_resources"].([]any)
	for _, resource := range resources {
		if fields, ok := resource.(map[string]any); ok {
			label, _ := fields["label"].(string)
			b.resources[label] = resource
		}
	}
	for _, section := range inputSections() {
		if path := b.find(plain[section], section, false); path != "" {
			return fmt.Errorf("%s: the requests are batched, and then one caller gets the answers of others: "+
				"remove the batching", path)
		}
	}
	return nil
}

// batching finds inputs whose messages are batched.
type batching struct {
	resources map[string]any // inputs, by label
}

// find returns the path of a zato_wsx_requests input that is batched, or "". The value is at
// path, and batched says whether its messages are.
func (b batching) find(value any, path string, batched bool) string {
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			if found := b.find(item, path+"."+strconv.Itoa(i), batched); found != "" {
				return found
			}
		}
	case map[string]any:
		for name, item := range v {
			if found := b.findField(name, item, path+"."+name, batched); found != "" {
				return found
			}
		}
	}
	return ""
}

// findField is find for a field, which may be a component with its name.
func (b batching) findField(name string, value any, path string, batched bool) string {
	fields, _ := value.(map[string]any)
	switch name {
	case "zato_wsx_requests":
		if batched {
			return path
		}
		return ""
	case "resource":
		label, _ := value.(string)
		if resource := b.resources[label]; batched && resource != nil {
			delete(b.resources, label) // once is enough, and resources can refer to each other
			return b.find(resource, path+"."+label, true)
		}
		return ""
	case "batched":
		batched = batched || makesBatches(fields["policy"])
	case "broker":
		batched = batched || makesBatches(fields["batching"])
	}
	return b.find(value, path, batched)
}

// makesBatches reports whether a batch policy makes batches of more than one message.
func makesBatches(policy any) bool {
	fields, _ := policy.(map[string]any)
	if fmt.Sprint(fields["count"]) == "1" {
		return false
	}
	for _, name := range []string{"count", "byte_size", "period", "check"} {
		if text := fmt.Sprint(fields[name]); fields[name] != nil && text != "0" && text != "" {
			return true
		}
	}
	return false
}
