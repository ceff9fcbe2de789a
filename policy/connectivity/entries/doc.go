// Package entries says how connections come in from outside: by which Ingress, Gateway,
// route or Route of OpenShift, to which ports of which workloads, and whether policies let
// them through.
//
// What policies judge is the connection of the program that answers for an entry, the
// ingress controller or the Gateway's proxy, to the Pods behind a Service. The client's
// own connection ends at that program: it is one like any other, from outside to the
// program's Pods.
//
// # Who that program is
//
// Its Pods are recognised by what says so, and by nothing else:
//
//   - Pods that carry a Gateway's name as a label, gateway.networking.k8s.io/gateway-name,
//     in the Gateway's namespace (https://gateway-api.sigs.k8s.io/geps/gep-1762), or those
//     of Envoy Gateway, which says the namespace as well;
//   - Pods with the labels that the installation manifests of a controller give them, where
//     the class of the Ingress or Gateway names that controller: by spec.controller of the
//     class, or by the name of the class where the class is not in the input. [Known] has
//     the controllers;
//   - Pods of OpenShift's routers, in their namespace and by the label that names their
//     IngressController: those that admitted a Route, as its status says, or the default
//     one (https://docs.redhat.com/en/documentation/openshift_container_platform/4.20/html/ingress_and_load_balancing).
//
// Where no such Pod is in the input, nothing is guessed: the answer depends on who it is,
// unless the policies of the Pods behind let everybody in, or nobody.
//
// # What is not looked at
//
// Whether a Gateway lets a route of another namespace attach, and ReferenceGrants; what is
// behind backends that are no Services; endpoints of Services without a selector; ports of
// the program's own Pods.
//
// It is pure: the same objects give the same answer, in an order of their own.
package entries
