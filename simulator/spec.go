package simulator

import (
	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// The names of the fields of a simulator.
const (
	fieldAddress  = "address"
	fieldPath     = "path"
	fieldUsername = "username"
	fieldSecret   = "secret"
	fieldGateway  = "gateway"
	fieldServices = "services"
	fieldCosts    = "measured_costs"
)

// The values of the field gateway.
const (
	gatewayStock   = "stock"
	gatewayPatched = "patched"
	gatewayConnect = "connect"
)

// lintServices rejects mappings that cannot be parsed. A rule of a map also runs for each of its
// values.
const lintServices = `root = if this.type() == "object" {
  this.key_values().sort_by(s -> s.key).
    map_each(s -> { "name": s.key, "problem": s.value.string().` + methodMappingError + `() }).
    filter(s -> s.problem != "").
    map_each(s -> "services." + s.name + ": " + s.problem)
}`

// methodMappingError is the name of a Bloblang method that only lintServices uses. The engine
// can lint a field that is a mapping, but not a map of mappings.
const methodMappingError = "zato_wsx_mapping_error"

func init() { //nolint:gochecknoinits // the linter knows only methods that are registered globally
	bloblang.MustRegisterMethodV2(methodMappingError,
		bloblang.NewPluginSpec().Description("Returns why a Bloblang mapping is not valid, or an empty string. "+
			"The linter of `zato_wsx_simulators` uses it."),
		func(*bloblang.ParsedParams) (bloblang.Method, error) {
			return bloblang.StringMethod(mappingError), nil
		})
}

func mappingError(mapping string) (any, error) {
	_, err := parseMapping(mapping)
	if err == nil {
		return "", nil
	}
	return err.Error(), nil
}

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("A simulated Zato server with one WebSocket channel.").
		Fields(
			service.NewStringField(fieldAddress).
				Description("The TCP address to listen on. A simulator is a test tool: use a loopback address, so that "+
					"other machines cannot reach it.").
				Default("127.0.0.1:35100").
				Example("127.0.0.1:35100"),
			service.NewStringField(fieldPath).
				Description("The URL path of the WebSocket channel.").
				Default("/zato.wsx.gateway"),
			service.NewStringField(fieldUsername).
				Description("The username that clients must log in with. If it is empty, the channel needs no credentials.").
				Default(""),
			service.NewStringField(fieldSecret).
				Description("The secret that clients must log in with.").
				Default("").
				Secret(),
			service.NewStringAnnotatedEnumField(fieldGateway, map[string]string{
				gatewayConnect: "A gateway with the companion services of this project. Subscriptions can have names, and " +
					"their messages can be fetched. It also does everything that `patched` does.",
				gatewayPatched: "A gateway that supports durable subscriptions and can resume them.",
				gatewayStock:   "The gateway of Zato 3.2 and 3.3. It does not support durable subscriptions and cannot resume any.",
			}).
				Description("The gateway service that the channel is mounted on.").
				Default(gatewayConnect),
			service.NewStringMapField(fieldServices).
				Description("The services, by name. Each is a Bloblang mapping from the request to the response. "+
					"The request is `this`. `@zato_service` is the name of the service, and `@zato_client_id` is the "+
					"`client_id` of the caller. If a mapping throws an error, the server answers with the status 500, as "+
					"Zato does when a service raises an exception. The simulator also has `zato.ping` and the services "+
					"for topics. Every topic exists.").
				LintRule(lintServices).
				Default(map[string]any{}).
				Example(map[string]any{"demo.upper": `root = this.name.uppercase()`}),
			service.NewBoolField(fieldCosts).
				Description("Whether the server takes as long as a Zato server with one process and SQLite was measured to "+
					"take: 6 ms for a message that is published, 34 ms for a list of 100, and 0.6 ms for a call. Calls on all "+
					"connections wait for one another. Services take their own time in addition.").
				Default(false).
				Advanced(),
			requestsField(),
		)
}

// parseChannel parses the channel of the simulator.
func parseChannel(conf *service.ParsedConfig) (wsxtest.Channel, error) {
	var ch wsxtest.Channel
	var gateway string
	for field, value := range map[string]*string{
		fieldPath: &ch.Path, fieldUsername: &ch.Username, fieldSecret: &ch.Secret, fieldGateway: &gateway,
	} {
		var err error
		if *value, err = conf.FieldString(field); err != nil {
			return ch, err
		}
	}
	ch.Gateway = map[string]wsxtest.Gateway{
		gatewayStock: wsxtest.Stock, gatewayPatched: wsxtest.Patched, gatewayConnect: wsxtest.Connect,
	}[gateway]
	return ch, nil
}
