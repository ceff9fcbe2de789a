package nri

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/containerd/nri/pkg/api"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-net/sluice/enforcer/residents"
)

// Sandbox is what the agent takes. The UID is the Pod's as the kubelet has it: for a static
// Pod that is the hash of its manifest, which the mirror Pod has in an annotation.
type Sandbox = residents.Sandbox

// Sink is who wants to know. Its methods may be called at the same time, and
// only SandboxStarted may wait.
type Sink interface {
	// SandboxStarted returns when the Pod is enforced with these addresses, or
	// when the context ends. It has taken note of the sandbox in either case.
	SandboxStarted(context.Context, Sandbox) error
	// SandboxGone is told of a Pod without a sandbox, perhaps more than once.
	SandboxGone(types.UID)
	// SetSandboxes is told of all there are, in place of what was told before.
	SetSandboxes([]Sandbox)
	// SandboxesLost: from now on nobody says what starts and what ends, until
	// the next SetSandboxes.
	SandboxesLost()
}

// What a runtime may say of one sandbox. Kubernetes itself stays far below.
const (
	maxAddrs = 16
	maxUID   = 128
	maxPath  = 4096
)

// errNodeNetwork is of a sandbox that has no network of its own.
var errNodeNetwork = errors.New("on the node's network")

// read understands what a runtime says of a sandbox. Nothing is made of one that
// it understands only in part: its Pod stays closed until the API says more.
func read(pod *api.PodSandbox) (Sandbox, error) {
	s := Sandbox{
		UID: types.UID(pod.GetUid()),
		Pod: types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetName()},
	}
	if err := checkNames(s); err != nil {
		return Sandbox{}, err
	}
	for _, n := range pod.GetLinux().GetNamespaces() {
		if n.GetType() == "network" {
			s.Netns = n.GetPath()
		}
	}
	if s.Netns != "" && (len(s.Netns) > maxPath || !path.IsAbs(s.Netns) || strings.ContainsRune(s.Netns, 0)) {
		return Sandbox{}, fmt.Errorf("a network namespace at no path: %.64q", s.Netns)
	}
	var err error
	if s.Addrs, err = readAddrs(pod.GetIps()); err != nil {
		return Sandbox{}, err
	}
	if len(s.Addrs) == 0 && s.Netns == "" {
		return Sandbox{}, errNodeNetwork
	}
	return s, nil
}

func checkNames(s Sandbox) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	odd := func(r rune) bool { return !strings.ContainsRune(plain, r) }
	switch {
	case s.UID == "" || len(s.UID) > maxUID || strings.ContainsFunc(string(s.UID), odd):
		return fmt.Errorf("no Pod's UID: %.64q", s.UID)
	case len(s.Pod.Namespace) > validation.DNS1123LabelMaxLength || len(validation.IsDNS1123Label(s.Pod.Namespace)) > 0:
		return fmt.Errorf("no namespace's name: %.64q", s.Pod.Namespace)
	case len(s.Pod.Name) > validation.DNS1123SubdomainMaxLength || len(validation.IsDNS1123Subdomain(s.Pod.Name)) > 0:
		return fmt.Errorf("no Pod's name: %.64q", s.Pod.Name)
	}
	return nil
}

func readAddrs(ips []string) (addrs []netip.Addr, err error) {
	if len(ips) > maxAddrs {
		return nil, fmt.Errorf("%d addresses, more than %d", len(ips), maxAddrs)
	}
	for _, ip := range ips {
		addr, err := netip.ParseAddr(ip)
		addr = addr.Unmap()
		if err != nil || addr.Zone() != "" || !addr.IsGlobalUnicast() {
			return nil, fmt.Errorf("no Pod's address: %.64q", ip)
		}
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}
