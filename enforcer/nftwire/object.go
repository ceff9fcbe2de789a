package nftwire

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// operation adds one to the batch.
func (b *Batch) operation(at int, op compiler.Op) error {
	switch o := op.Object.(type) {
	case *compiler.SetElement:
		if op.Verb == compiler.Flush || b.family == unix.NFPROTO_NETDEV {
			return ErrUnsupported
		}
		return b.element(at, op.Verb, o)
	case *compiler.ChainRule:
		if op.Verb != compiler.Add {
			return ErrUnsupported
		}
		b.rule(at, o)
	case *compiler.Chain:
		return b.chain(at, op.Verb, o)
	case *compiler.Set:
		switch op.Verb {
		case compiler.Add:
			return b.addSet(at, o)
		case compiler.Delete:
			b.deleteSet(at, o.Name)
		default:
			return ErrUnsupported
		}
	case *compiler.Counter:
		return b.counter(at, op.Verb, o.Name)
	case *compiler.Table:
		if op.Verb != compiler.Add || b.family != unix.NFPROTO_NETDEV {
			return ErrUnsupported
		}
		b.named(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "", at)
		b.uint32(unix.NFTA_TABLE_FLAGS, 0)
	default:
		return ErrUnsupported
	}
	return nil
}

// supports reports whether an operation can be told from its object alone to be none for
// a batch, which nearly all can that are: then nothing need be written.
func supports(family byte, op compiler.Op) bool {
	switch o := op.Object.(type) {
	case *compiler.Table:
		return op.Verb == compiler.Add && family == unix.NFPROTO_NETDEV
	case *compiler.Set:
		return op.Verb == compiler.Delete || op.Verb == compiler.Add && !o.Dynamic() && family == unix.NFPROTO_INET
	case *compiler.Chain:
		return op.Verb != compiler.Add || o.Hook == nil || family == unix.NFPROTO_NETDEV
	}
	return true
}

func (b *Batch) chain(op int, verb compiler.Verb, c *compiler.Chain) error {
	switch verb {
	case compiler.Flush:
		// Its rules are deleted.
		b.close()
		b.begin(unix.NFT_MSG_DELRULE, 0, "", op)
		b.text(unix.NFTA_RULE_CHAIN, c.Name)
	case compiler.Delete:
		b.named(unix.NFT_MSG_DELCHAIN, 0, c.Name, op)
	default:
		b.named(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, c.Name, op)
		if c.Hook != nil {
			return b.hook(c.Hook)
		}
	}
	return nil
}

// nfNetdevIngress is NF_NETDEV_INGRESS of linux/netfilter.h.
const nfNetdevIngress = 0

// hook is where a guard hangs. Those of other tables are brought once, at a start.
func (b *Batch) hook(h *compiler.Hook) error {
	priority, err := strconv.ParseInt(string(h.Priority), 10, 32)
	if err != nil || b.family != unix.NFPROTO_NETDEV || h.Name != "ingress" || h.Policy != "drop" || h.Device == "" {
		return fmt.Errorf("hook %s: %w", h.Name, ErrUnsupported)
	}
	b.text(unix.NFTA_CHAIN_TYPE, "filter")
	b.uint32(unix.NFTA_CHAIN_POLICY, nfDrop)
	outer := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_CHAIN_HOOK)
	b.uint32(unix.NFTA_HOOK_HOOKNUM, nfNetdevIngress)
	b.uint32(unix.NFTA_HOOK_PRIORITY, uint32(int32(priority)))
	b.text(unix.NFTA_HOOK_DEV, h.Device)
	b.endAttr(outer)
	return nil
}

func (b *Batch) counter(op int, verb compiler.Verb, name string) error {
	switch verb {
	case compiler.Delete:
		b.named(unix.NFT_MSG_DELOBJ, 0, name, op)
		b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	case compiler.Add:
		b.named(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE, name, op)
		b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		data := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_OBJ_DATA)
		b.uint64(unix.NFTA_COUNTER_BYTES, 0)
		b.uint64(unix.NFTA_COUNTER_PACKETS, 0)
		b.endAttr(data)
	default:
		return ErrUnsupported
	}
	return nil
}
