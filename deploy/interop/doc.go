// Package interop holds what deploy writes for the tools of others against these
// tools themselves: the chart against Helm, the kustomizations against kustomize,
// bills of materials and provenance against the schemas of CycloneDX and in-toto,
// the krew manifest against krew. It is a module of its own, for nothing of these
// belongs into an agent.
package interop
