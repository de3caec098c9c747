// Package zato has the files for the Zato server.
package zato

import _ "embed"

//go:embed connect.py
var connect string

//go:embed enmasse.yaml
var enmasse string

// Services returns the source of the companion services, for Zato's folder for hot deployment.
func Services() string { return connect }

// Enmasse returns the objects that the server needs, for zato enmasse.
func Enmasse() string { return enmasse }
