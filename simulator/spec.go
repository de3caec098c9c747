package simulator

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// Names of the fields.
const (
	fieldAddress  = "address"
	fieldPath     = "path"
	fieldUsername = "username"
	fieldSecret   = "secret"
	fieldGateway  = "gateway"
	fieldServices = "services"
)

// The gateways to choose from.
const (
	gatewayStock   = "stock"
	gatewayPatched = "patched"
)

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("A simulated Zato server with one WebSocket channel.").
		Fields(
			service.NewStringField(fieldAddress).
				Description("The TCP address to listen at. A simulator is for trying things out: keep it to the loopback "+
					"interface.").
				Default("127.0.0.1:35100").
				Example("127.0.0.1:35100"),
			service.NewStringField(fieldPath).
				Description("The path of the WebSocket channel.").
				Default("/zato.wsx.gateway"),
			service.NewStringField(fieldUsername).
				Description("The username that clients must log in with. Empty: a channel without credentials.").
				Default(""),
			service.NewStringField(fieldSecret).
				Description("The secret that clients must log in with.").
				Default("").
				Secret(),
			service.NewStringAnnotatedEnumField(fieldGateway, map[string]string{
				gatewayPatched: "A gateway whose subscriptions can be durable and resumed.",
				gatewayStock:   "The gateway as Zato 3.2 and 3.3 ship it: no durable subscriptions, and resuming fails.",
			}).
				Description("The gateway service that the channel is mounted on.").
				Default(gatewayPatched),
			service.NewStringMapField(fieldServices).
				Description("Services by name, each a Bloblang mapping from the request to the response. "+
					"The request is `this`; `@zato_service` and `@zato_client_id` say what was called and by whom. "+
					"A mapping that throws answers as a service that raised an exception does, with a status of 500. "+
					"`zato.ping` and the services for topics are always there; every topic exists.").
				Default(map[string]any{}).
				Example(map[string]any{"demo.upper": `root = this.name.uppercase()`}),
			requestsField(),
		)
}

// parseChannel reads the channel that the simulator offers.
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
	if gateway == gatewayStock {
		ch.Gateway = wsxtest.Stock
	}
	return ch, nil
}
