package tables

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// IsNotFound reports whether something that a transaction speaks of is not there, in
// nft's words or in the kernel's. It is the answer to whoever deletes one object and nothing
// else. Whoever does more must ask what was not found: [InterfaceGone].
func IsNotFound(err error) bool {
	return knftables.IsNotFound(err) || errors.Is(err, unix.ENOENT)
}

// InterfaceGone reports whether a transaction failed because an interface is not
// there. That something was not found is no proof, for it may be a chain, a set or a
// module: the kernel is asked for the interface by its name.
func InterfaceGone(ns netns.Namespace, name string, err error) (bool, error) {
	if !IsNotFound(err) && !errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	var refused *nftwire.Refusal
	if errors.As(err, &refused) && refused.Culprit != nil && !refused.Blames(name) {
		return false, nil
	}
	return noInterface(ns, name)
}

// noInterface asks the kernel whether an interface is not there.
func noInterface(ns netns.Namespace, name string) (bool, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	req := socket.Request(unix.RTM_GETLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	err = socket.Each(req, func([]byte) {})
	if errors.Is(err, unix.ENODEV) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for interface %s: %w", name, err)
	}
	return false, nil
}
