// Package door is how others reach the agent over the network. What anybody may
// see goes out in plain text; everything else is behind TLS, to those only whom
// the API server lets read it. It knows nothing of policies or kernels.
package door
