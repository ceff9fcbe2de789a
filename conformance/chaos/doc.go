// Package chaos lets everything happen to a node at once that its policies must
// survive, and replays what was seen against what was allowed: see README.md.
// All of it is in the package's tests.
package chaos
