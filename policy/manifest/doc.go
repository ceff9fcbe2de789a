// Package manifest reads Kubernetes objects from manifests: YAML of one or
// many documents, JSON of one or many values, and lists of any kind in either.
//
// A manifest passes no API server on its way here, so this package does what
// the API server would do with it, as far as network policy is concerned: it
// fills in defaults, and it says what would be refused, where it stands and how
// to mend it.
//
// # Invariants
//
//   - Pure and deterministic: data in, objects and problems out, in the order
//     of the input. It opens no files.
//   - A policy never disappears. One that is invalid is reported and still
//     returned as it is, for the index to fail closed on. One that cannot be
//     decoded as it was meant (a misspelt field, a string for a number) is
//     reported and returned without its rules: a misspelt "from" would
//     otherwise allow everybody.
//   - What cannot be read is an error, never silently skipped; what is not ours
//     to read (other kinds) is a notice. Objects by which Pods and addresses are
//     found, as workloads and Ingresses, are a Repository's to miss; a node, which
//     enforces the same without them, has notices of them.
//   - An error in one document takes nothing from the others.
//   - Time and memory stay proportional to the input: documents and the items
//     of lists are read one at a time, aliases cannot multiply, and a single
//     object cannot be larger than any API server would take.
package manifest
