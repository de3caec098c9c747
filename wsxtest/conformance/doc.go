// Package conformance is a test suite for the behaviour of a Zato server that a
// client can observe.
//
// The suite always runs against the simulator, with each kind of gateway. It also
// runs against a real server if ZATO_WSX_ADDRESS, ZATO_WSX_USERNAME and
// ZATO_WSX_SECRET are set. The folder zato has the services that the real server
// needs. A behaviour that the gateway of a server does not offer is skipped by name.
package conformance
