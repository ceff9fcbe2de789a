package manifest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/spelling"
)

// apiVersions are the kinds that are read.
var apiVersions = map[string]string{
	"Namespace":     "v1",
	"NetworkPolicy": "networking.k8s.io/v1",
	"Pod":           "v1",
	"Service":       "v1",
}

// versionOf is the apiVersion of a kind that is read, of which a Gateway's or a route's is
// the group alone; empty for other kinds.
func versionOf(kind string) string {
	return cmp.Or(apiVersions[kind], related[kind], entryKinds[kind])
}

// readKinds are all of these kinds, sorted.
var readKinds = slices.Sorted(maps.Keys(func() map[string]bool {
	all := map[string]bool{}
	for _, kinds := range []map[string]string{apiVersions, related, entryKinds} {
		for kind := range kinds {
			all[kind] = true
		}
	}
	return all
}()))

// foreign reports whether an apiVersion is of a group that is not Kubernetes'
// own, where a kind of the same name is another thing.
func foreign(apiVersion string) bool {
	group, _, found := strings.Cut(apiVersion, "/")
	return found && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// groupOf is the group of an apiVersion; empty for "v1".
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found && apiVersion != GatewayGroup {
		return ""
	}
	return group
}

// misspelt is the kind that is read and was meant, if the kind is none of these: only its
// capitals are wrong, or its number, or it is nearly one of the same group. It is empty for
// a kind that is another thing.
func misspelt(t typeMeta) string {
	if t.Kind == "" || versionOf(t.Kind) != "" || foreign(t.APIVersion) {
		return ""
	}
	for _, right := range readKinds {
		if strings.EqualFold(t.Kind, right) || strings.EqualFold(t.Kind, right+"s") {
			return right
		}
	}
	for _, right := range readKinds {
		limit := typos(right)
		if limit > 0 && groupOf(t.APIVersion) == groupOf(versionOf(right)) && spelling.Distance(t.Kind, right, limit) <= limit {
			return right
		}
	}
	return ""
}

// typos are how many letters of a kind may be wrong: short words are soon another one.
func typos(kind string) int {
	switch {
	case len(kind) < len("Service"):
		return 0
	case len(kind) < len("DaemonSet"):
		return 1
	}
	return 2
}

// badWorkload reports whether an object was meant for one that makes Pods, and no API
// server takes it for that.
func badWorkload(t typeMeta) bool {
	meant := cmp.Or(misspelt(t), t.Kind)
	return makesPods(meant) && !foreign(t.APIVersion) && (meant != t.Kind || related[meant] != t.APIVersion)
}

// makesPods reports whether Pods are made by objects of a kind.
func makesPods(kind string) bool {
	return related[kind] != "" && kind != "Node" && kind != "EndpointSlice"
}

// inNamespace reports whether objects of a kind that is read are in a namespace.
func inNamespace(kind string) bool {
	switch kind {
	case "Namespace", "Node", "IngressClass", "GatewayClass":
		return false
	}
	return true
}
