// Package zato has the services and the configuration that a Zato server needs for
// zato-connect, as the files of this folder.
package zato

import _ "embed"

var (
	// Services is connect.py: services for Zato's hot-deployment folder. The line
	// "SERVICES = [" begins the list of the services that clients may invoke.
	//
	//go:embed connect.py
	Services string

	// Enmasse is enmasse.yaml: a user, a channel, a pub/sub endpoint and a topic, for
	// zato enmasse.
	//
	//go:embed enmasse.yaml
	Enmasse string

	// README describes how to set up a server with both.
	//
	//go:embed README.md
	README string
)
