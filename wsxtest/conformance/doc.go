// Package conformance is one suite of behaviours that a Zato server shows to a
// client. It runs against the simulator always, with both gateways, and against
// any server that ZATO_WSX_ADDRESS, ZATO_WSX_USERNAME and ZATO_WSX_SECRET name;
// what that server needs is in the folder zato.
package conformance
