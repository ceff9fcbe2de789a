// Package agents asks the agents of all nodes, from wherever the caller is: it finds
// their Pods, has the API server forward to the TLS port of each, shows a token there, and
// asks all of them at a time. On a node it asks the one agent through its socket.
package agents
