package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	ucli "github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"github.com/zato-connect/zato-connect/zato"
)

func servicesCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "services",
		Usage: "Print the companion services, to deploy on a Zato server",
		Description: `
Prints one Python file, with the services that the channel's clients may invoke. Copy it to
the folder for hot deployment of the server, and mount the channel on connect.gateway:

  zato-connect zato services --service customer.get --service order.check > connect.py

zato-connect zato enmasse prints the channel and the other objects.`[1:],
		Flags: []ucli.Flag{
			&ucli.StringSliceFlag{
				Name: "service", Usage: "`NAME` of a service that clients may invoke; repeat the flag for several",
				DefaultText: "only " + strings.Join(allowedServices(zato.Services), ", "),
			},
		},
		Action: func(c *ucli.Context) error {
			if c.NArg() > 0 {
				return usageError(c)
			}
			text, err := allowServices(zato.Services, c.StringSlice("service"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

// serviceList matches the end of the list of services that clients may invoke.
var serviceList = regexp.MustCompile(`(?m)^SERVICES = \[\n(?:    '[^'\n]*',\n)*`)

// unsafeInPython matches the characters that a name cannot have in a Python string.
var unsafeInPython = regexp.MustCompile(`['"\\\s\p{C}]`)

// serviceName matches a name in the list.
var serviceName = regexp.MustCompile(`'([^']*)'`)

// allowedServices returns the list of services in the source of the companion services.
func allowedServices(source string) []string {
	var names []string
	for _, match := range serviceName.FindAllStringSubmatch(serviceList.FindString(source), -1) {
		names = append(names, match[1])
	}
	return names
}

// allowServices adds names to the list of services in the source of the companion services.
func allowServices(source string, names []string) (string, error) {
	end := serviceList.FindStringIndex(source)
	if end == nil {
		return "", errors.New("the companion services have no list SERVICES")
	}
	list := source[end[0]:end[1]]
	for _, name := range names {
		if strings.Contains(name, "*") {
			return "", fmt.Errorf("--service %q: contains *: list each service, because the gateway compares whole names", name)
		}
		if name == "" || unsafeInPython.MatchString(name) || !utf8.ValidString(name) {
			return "", fmt.Errorf("--service %q: is not the name of a service: use a name such as customer.get", name)
		}
		if line := fmt.Sprintf("    '%s',\n", name); !strings.Contains(list, line) {
			list += line
		}
	}
	return source[:end[0]] + list + source[end[1]:], nil
}

func enmasseCommand() *ucli.Command {
	defaults := objectsOf(zato.Enmasse)
	return &ucli.Command{
		Name:  "enmasse",
		Usage: "Print the objects that the server needs, to import with zato enmasse",
		Description: `
Prints a user, a channel on connect.gateway, a pub/sub endpoint and topics with guaranteed
delivery. The password stays the name of an environment variable, which enmasse replaces.
Deploy the services that zato-connect zato services prints first. Then:

  zato-connect zato enmasse --topic /orders/new --user orders > objects.yaml
  ZATO_WSX_SECRET=... zato enmasse /path/to/server1 --import --replace --input objects.yaml`[1:],
		Flags: []ucli.Flag{
			&ucli.StringSliceFlag{
				Name: flagTopic, Usage: "a `TOPIC` that clients may publish and subscribe to; repeat the flag for several",
				DefaultText: strings.Join(defaults.topics, ", "),
			},
			&ucli.StringFlag{Name: "user", Usage: "`NAME` of the user", DefaultText: defaults.user},
			&ucli.StringFlag{
				Name: flagAddress, Usage: "`URL` where the channel listens, with its path", DefaultText: defaults.address,
			},
			&ucli.StringFlag{
				Name: flagName, Usage: "`NAME` of the channel, of its endpoint and of the user's definition",
				DefaultText: defaults.name,
			},
		},
		Action: func(c *ucli.Context) error {
			if c.NArg() > 0 {
				return usageError(c)
			}
			if err := requireText(c); err != nil {
				return err
			}
			o := objects{
				topics: c.StringSlice(flagTopic), user: c.String("user"), address: c.String(flagAddress), name: c.String(flagName),
			}
			text, err := o.fill(zato.Enmasse)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

// objects are the values that an enmasse file gets. An empty one leaves that of the file.
type objects struct {
	topics              []string
	user, address, name string
}

// objectsOf returns the values of an enmasse file that a command can replace.
func objectsOf(file string) objects {
	var doc yaml.Node
	_ = yaml.Unmarshal([]byte(file), &doc) // the file is part of the program
	o := objects{
		user:    value(first(&doc, "def_sec"), "username").Value,
		address: value(first(&doc, "web_socket"), "address").Value,
		name:    value(first(&doc, "web_socket"), "name").Value,
	}
	for _, topic := range value(doc.Content[0], "pubsub_topic").Content {
		o.topics = append(o.topics, value(topic, "name").Value)
	}
	return o
}

// fill returns an enmasse file with the values of o.
func (o *objects) fill(file string) (string, error) {
	if err := o.validate(); err != nil {
		return "", err
	}
	if o.user == "" && o.address == "" && o.name == "" && len(o.topics) == 0 {
		return file, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(file), &doc); err != nil {
		return "", err
	}
	user, channel, endpoint := first(&doc, "def_sec"), first(&doc, "web_socket"), first(&doc, "pubsub_endpoint")
	set(user, "username", o.user)
	set(channel, "address", o.address)
	for _, field := range []struct {
		object *yaml.Node
		name   string
	}{
		{user, "name"},
		{user, "realm"},
		{channel, "name"},
		{channel, "sec_def"},
		{endpoint, "name"},
		{endpoint, "ws_channel_name"},
	} {
		set(field.object, field.name, o.name)
	}
	if len(o.topics) > 0 {
		set(endpoint, "topic_patterns", o.patterns())
		o.setTopics(value(doc.Content[0], "pubsub_topic"))
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&doc); err != nil {
		return "", err
	}
	return section.ReplaceAllString(out.String(), "$1\n$2"), nil
}

// section matches the beginning of a list of objects that no empty line precedes, which the encoder leaves out.
var section = regexp.MustCompile(`([^\n]\n)([a-z_]+:\n)`)

// patterns returns the rights to the topics, as an endpoint has them.
func (o *objects) patterns() string {
	var lines []string
	for _, right := range []string{"pub=", "sub="} {
		for _, topic := range o.topics {
			lines = append(lines, right+topic)
		}
	}
	return strings.Join(lines, "\n")
}

// setTopics replaces the topic in a list by the topics of o.
func (o *objects) setTopics(list *yaml.Node) {
	template := list.Content[0]
	list.Content = nil
	for i, name := range o.topics {
		topic := *template
		topic.Content = slices.Clone(template.Content)
		for j, node := range topic.Content {
			copied := *node
			if i > 0 { // comments are needed once
				copied.HeadComment, copied.LineComment, copied.FootComment = "", "", ""
			}
			topic.Content[j] = &copied
		}
		set(&topic, "name", name)
		list.Content = append(list.Content, &topic)
	}
}

// first returns the first element of a list in a document.
func first(doc *yaml.Node, list string) *yaml.Node { return value(doc.Content[0], list).Content[0] }

// value returns the value of a key, which must exist.
func value(mapping *yaml.Node, key string) *yaml.Node {
	i := slices.IndexFunc(mapping.Content, func(n *yaml.Node) bool { return n.Value == key })
	return mapping.Content[i+1]
}

// set sets the value of a key, unless it is empty.
func set(mapping *yaml.Node, key, text string) {
	if text != "" {
		node := value(mapping, key)
		node.SetString(text)
	}
}

// channelAddress matches the address where a channel listens.
var channelAddress = regexp.MustCompile(`^wss?://[^\s/?#@]+:[0-9]+/[^\s?#]+$`)

// validate checks what Zato would skip, refuse or understand in another way.
func (o *objects) validate() error {
	for i, topic := range o.topics {
		switch {
		case !strings.HasPrefix(topic, "/") || topic == "/":
			return fmt.Errorf("--%s %q: does not begin with / and a name: use a topic such as /orders/new", flagTopic, topic)
		case strings.Contains(topic, "*"):
			return fmt.Errorf("--%s %q: contains *: list each topic, or edit topic_patterns in the output", flagTopic, topic)
		case slices.Contains(o.topics[:i], topic):
			return fmt.Errorf("--%s %q: is listed twice: remove one", flagTopic, topic)
		}
		if err := validateName(flagTopic, topic); err != nil {
			return err
		}
	}
	if err := validateName(flagName, o.name); err != nil {
		return err
	}
	if strings.Contains(o.user, ":") {
		return fmt.Errorf("--user %q: contains a colon, which a login cannot have: use another name", o.user)
	}
	if strings.ContainsFunc(o.user, unicode.IsControl) || !utf8.ValidString(o.user) {
		return fmt.Errorf("--user %q: contains control characters or is not UTF-8: use plain text", o.user)
	}
	if o.address == "" {
		return nil
	}
	if !channelAddress.MatchString(o.address) {
		return fmt.Errorf("--%s %q: is not the address of a channel: use ws://host:port/path, such as "+
			"ws://0.0.0.0:48902/my.wsx", flagAddress, o.address)
	}
	return nil
}

// validateName checks the name of an object other than a security definition.
func validateName(flag, name string) error {
	switch {
	case strings.Contains(strings.ToLower(name), "zato"):
		return fmt.Errorf("--%s %q: contains zato: zato enmasse skips objects with such names, "+
			"because Zato's own have them: use another name", flag, name)
	case strings.ContainsFunc(name, unicode.IsControl), !utf8.ValidString(name):
		return fmt.Errorf("--%s %q: contains control characters or is not UTF-8: use plain text", flag, name)
	}
	return nil
}
