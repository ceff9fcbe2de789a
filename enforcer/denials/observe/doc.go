// Package observe shows denials to people: grouped, as text or with all that is known,
// or as they are, as JSON. It reads no clock and no stream; who connects to agents gives
// it what comes.
package observe
