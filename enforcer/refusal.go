package enforcer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// refusal is the kernel's word that a batch failed, with nothing of it done. An
// errno says little by itself: ENOENT is of some object of the batch, whichever.
// So it comes with the operation that the kernel refused, and with what of it.
type refusal struct {
	errno unix.Errno
	// offset is where in the batch the trouble is.
	offset int
	// text is what the kernel has to say besides.
	text string
	// op is what was refused; nil where that is not known.
	op *compiler.Op
	// culprit is the value of the attribute that the kernel points at, if it
	// points at one.
	culprit []byte
}

func (r *refusal) Error() string {
	out := r.errno.Error()
	if r.text != "" {
		out += ": " + r.text
	}
	if r.op != nil {
		out = inShort(*r.op) + ": " + out
	}
	return out
}

func (r *refusal) Unwrap() error { return r.errno }

// blame finds the operation that the kernel refused, and the attribute in it.
func (r *refusal) blame(b *nlBatch, ops []compiler.Op) {
	if len(ops) == 0 {
		return
	}
	op := ops[b.opAt(r.offset)]
	r.op = &op
	for _, m := range b.messages {
		if m.start == r.offset {
			return // the message as a whole
		}
	}
	if r.offset+unix.SizeofRtAttr > len(b.bytes) {
		return
	}
	size := int(binary.NativeEndian.Uint16(b.bytes[r.offset:]))
	if size >= unix.SizeofRtAttr && r.offset+size <= len(b.bytes) {
		r.culprit = bytes.Clone(b.bytes[r.offset+unix.SizeofRtAttr : r.offset+size])
	}
}

// isNotFound: something that a transaction speaks of is not there, in nft's words
// or in the kernel's. It is the answer to whoever deletes one object and nothing
// else. Whoever does more must ask what was not found: [interfaceGone].
func isNotFound(err error) bool {
	return knftables.IsNotFound(err) || errors.Is(err, unix.ENOENT)
}

// interfaceGone reports whether a transaction failed because an interface is not
// there. That something was not found is no proof, for it may be a chain, a set or a
// module: the kernel is asked for the interface by its name.
func interfaceGone(ns netns.Namespace, name string, err error) (bool, error) {
	if !isNotFound(err) && !errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	var refused *refusal
	if errors.As(err, &refused) && refused.culprit != nil && !refused.blames(name) {
		return false, nil
	}
	return noInterface(ns, name)
}

// blames: the kernel points at this interface.
func (r *refusal) blames(name string) bool { return nlsocket.ZeroEnded(r.culprit) == name }

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
