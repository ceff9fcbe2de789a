package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	glob "path"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// parseNodeDNS reads the addresses of --node-dns: such that a Pod can send to and
// a node can answer at, each once.
func parseNodeDNS(list []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	var errs []error
	seen := map[netip.Addr]bool{}
	for _, s := range list {
		addr, err := netip.ParseAddr(s)
		addr = addr.Unmap()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("--node-dns: %q is no address: want one such as 169.254.20.10", s))
		case addr.Zone() != "":
			errs = append(errs, fmt.Errorf("--node-dns: %q has a zone, which means something on one link only: leave it out", s))
		case addr.IsUnspecified(), addr.IsLoopback(), addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			errs = append(errs, fmt.Errorf("--node-dns: no Pod reaches its node at %s: want an address of the node such as 169.254.20.10", addr))
		case !seen[addr]:
			seen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	return addrs, errors.Join(errs...)
}

func (o *AgentOptions) validateSource() error {
	var errs []error
	if o.manifests != "" && (o.kubeconfig != "" || o.kubeContext != "") {
		errs = append(errs, errors.New("--manifests is instead of a cluster: leave out --kubeconfig and --context"))
	}
	if o.manifests != "" {
		if info, err := os.Stat(o.manifests); err != nil {
			errs = append(errs, fmt.Errorf("--manifests: %w", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("--manifests: %s is no directory", o.manifests))
		}
	}
	if o.kubeconfig != "" {
		if info, err := os.Stat(o.kubeconfig); err != nil {
			errs = append(errs, fmt.Errorf("--kubeconfig: %w", err))
		} else if info.IsDir() {
			errs = append(errs, fmt.Errorf("--kubeconfig: %s is a directory", o.kubeconfig))
		}
	}
	return errors.Join(errs...)
}

// validateNode demands to be told whose Pods are enforced. A host name is not
// always the Node's, and an agent with the wrong one would enforce nothing.
func (o *AgentOptions) validateNode() error {
	switch {
	case o.manifests != "":
		return nil
	case o.config.Node == "":
		return errors.New("--node-name: whose Pods are to be enforced is not known: in a DaemonSet set the variable NODE_NAME from the field spec.nodeName (valueFrom, fieldRef), elsewhere give --node-name NAME as kubectl get nodes shows it")
	}
	if why := validation.IsDNS1123Subdomain(o.config.Node); len(why) > 0 {
		return fmt.Errorf("--node-name: %q is no Node's name: %s; kubectl get nodes shows them", o.config.Node, why[0])
	}
	return nil
}

// maxInterface is the length of the longest name that the kernel gives an
// interface.
const maxInterface = 15

// validateInterfaces refuses patterns that match none, or too much: on what carries
// Pods whoever is no known Pod is cut off, and on what does not nobody is.
func validateInterfaces(flag, such string, patterns []string) error {
	var errs []error
	for _, p := range patterns {
		loopback, err := glob.Match(p, "lo")
		literal := !strings.ContainsAny(p, `*?[\`)
		switch {
		case err != nil:
			// Said with the configuration.
		case strings.TrimSpace(p) == "", strings.ContainsAny(p, "/ \t\n"), literal && len(p) > maxInterface:
			errs = append(errs, fmt.Errorf("--%s: %q is no name of an interface, nor a pattern: want one such as %s", flag, p, such))
		case loopback:
			errs = append(errs, fmt.Errorf("--%s: %q matches the loopback interface, and so may match any: want a pattern such as %s", flag, p, such))
		}
	}
	return errors.Join(errs...)
}

// validateListen refuses what nobody can listen at. Empty is none.
func validateListen(flag, address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return fmt.Errorf("--%s: %q is no address to listen at: want ADDRESS:PORT, such as 127.0.0.1:9470, or :9470 for all addresses", flag, address)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && len(validation.IsDNS1123Subdomain(host)) > 0 || onlyDigits(host) && err != nil {
		return fmt.Errorf("--%s: %q is no address of this node in %q: want ADDRESS:PORT, such as 127.0.0.1:9470", flag, host, address)
	}
	return nil
}

// onlyDigits tells a mistyped address from a name.
func onlyDigits(host string) bool { return host != "" && strings.Trim(host, "0123456789.") == "" }

// validateVerbosity refuses levels at which nothing at all would be logged.
func validateVerbosity(level string) error {
	if strings.HasPrefix(level, "-") {
		return fmt.Errorf("--v: %s is less than nothing: want 0 to 9", level)
	}
	return nil
}
