// Package spectest is a second opinion: a deliberately simple evaluator of
// NetworkPolicy, and seeded random clusters, flows and event sequences to
// compare it on.
//
// [Cluster.Allowed] was written from the comments of k8s.io/api/networking/v1
// alone. It loops over the API objects as they are, parses every string each
// time it meets it, remembers nothing between two flows and shares no code
// with package policy, nor the selector matching of apimachinery. Keep it so:
// it is worth something only as long as it is too simple to share a mistake
// with what it checks. Speed is no reason to change it, and neither is a
// mismatch: decide from the API's documentation who is right.
//
// All that is random comes from the generator that the caller hands over, so
// a seed names a case for ever: [Seeded] makes one.
package spectest
