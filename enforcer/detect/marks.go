package detect

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// marks finds the rules of others that write the conntrack mark, and which bits of it: by
// nftables' own expressions, and by iptables' target CONNMARK. Rules of legacy iptables
// cannot be read this way. Only doctor reads others' rules; the agent does not.
func (l Look) marks(f *diagnosis.Facts) error {
	socket, err := nlsocket.Open(l.NS, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer socket.Close()
	var order []string
	var bits map[string]uint32
	more := 0
	err = nlsocket.DumpWhole(func() error {
		order, bits, more = nil, map[string]uint32{}, 0
		req := socket.Request(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		return socket.Each(req, func(msg []byte) {
			chain, written := markRule(msg)
			if written == 0 {
				return
			}
			if _, seen := bits[chain]; !seen {
				if len(order) == diagnosis.MaxMarkUsers {
					more++
					return
				}
				order = append(order, chain)
			}
			bits[chain] |= written
		})
	})
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	f.MoreMarks = more
	for _, chain := range order {
		f.Marks = append(f.Marks, diagnosis.MarkUser{Chain: chain, Bits: bits[chain]})
	}
	return nil
}

// markRule says in which chain a rule is, and which bits of the conntrack mark it writes; 0
// for a rule of ours, or that writes none.
func markRule(msg []byte) (chain string, written uint32) {
	if len(msg) < nl.SizeofNfgenmsg {
		return "", 0
	}
	var table string
	var expressions []byte
	for a := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		switch a.Kind {
		case unix.NFTA_RULE_TABLE:
			table = unix.ByteSliceToString(a.Value)
		case unix.NFTA_RULE_CHAIN:
			chain = unix.ByteSliceToString(a.Value)
		case unix.NFTA_RULE_EXPRESSIONS:
			expressions = a.Value
		}
	}
	if table == compiler.TableName {
		return "", 0
	}
	return familyNames[msg[0]] + " " + table + " " + chain, markBits(expressions)
}

// allBits is what a rule writes that keeps nothing of the mark, or of which that is not
// known.
const allBits = ^uint32(0)

// markBits are the bits that a rule's expressions write.
func markBits(expressions []byte) uint32 {
	var written uint32
	// keeps is which bits of the mark the register has as they were, and sets those that
	// are put in, as long as the register holds the mark.
	keeps, sets, holdsMark := uint32(0), uint32(0), false
	for e := range nlsocket.Attrs(expressions) {
		var name string
		var data []byte
		for a := range nlsocket.Attrs(e.Value) {
			switch a.Kind {
			case unix.NFTA_EXPR_NAME:
				name = unix.ByteSliceToString(a.Value)
			case unix.NFTA_EXPR_DATA:
				data = a.Value
			}
		}
		a := nlsocket.AttrMap(data)
		switch name {
		case "ct":
			isMark := nlsocket.Number(a[unix.NFTA_CT_KEY]) == unix.NFT_CT_MARK
			switch {
			case isMark && a[unix.NFTA_CT_SREG] != nil && holdsMark:
				written |= ^keeps | sets
			case isMark && a[unix.NFTA_CT_SREG] != nil:
				written |= allBits
			default:
				keeps, sets, holdsMark = allBits, 0, isMark
			}
		case "bitwise":
			mask := nlsocket.Nested(a[unix.NFTA_BITWISE_MASK], unix.NFTA_DATA_VALUE)
			xor := nlsocket.Nested(a[unix.NFTA_BITWISE_XOR], unix.NFTA_DATA_VALUE)
			if len(mask) != 4 || len(xor) != 4 {
				holdsMark = false // of two registers, or shifted
				continue
			}
			m, x := binary.NativeEndian.Uint32(mask), binary.NativeEndian.Uint32(xor)
			keeps, sets = keeps&m, sets&m|x
		case "immediate", "meta":
			// What is put into a register is not the mark.
			if a[unix.NFTA_IMMEDIATE_DREG] != nil {
				holdsMark = false
			}
		case "target":
			written |= connmarkBits(a)
		}
	}
	return written
}

// Of linux/netfilter/nf_tables_compat.h and xt_connmark.h.
const (
	nftaTargetName   = 1
	nftaTargetInfo   = 3
	connmarkInfoSize = 13
	connmarkSet      = 0
	connmarkSave     = 1
)

// connmarkBits are the bits that iptables' target CONNMARK writes: struct
// xt_connmark_tginfo1 has ctmark, ctmask, nfmask and a mode. Restoring writes the packet's
// mark, and not the connection's.
func connmarkBits(a map[uint16][]byte) uint32 {
	info := a[nftaTargetInfo]
	if unix.ByteSliceToString(a[nftaTargetName]) != "CONNMARK" || len(info) < connmarkInfoSize {
		return 0
	}
	mark, mask, packet := binary.NativeEndian.Uint32(info), binary.NativeEndian.Uint32(info[4:]), binary.NativeEndian.Uint32(info[8:])
	switch info[12] {
	case connmarkSet:
		return mark | mask
	case connmarkSave:
		return mask | packet
	}
	return 0
}
