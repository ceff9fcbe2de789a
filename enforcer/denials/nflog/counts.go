//go:build linux

package nflog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// Uncounted has flows of which it should be known how many packets were denied.
type Uncounted interface {
	Uncounted() []denials.Flow
	Counted(f denials.Flow, packets uint64)
}

// Counts asks how many packets of flows were denied since they were reported. The
// elements of the set of reported flows count them, each for as long as it is there.
type Counts struct {
	Namespace Netns
	// Table is the one of family inet, Set the name of its set of reported flows without
	// the family's suffix.
	Table, Set string

	socket *socket
}

// countEvery is how often it is asked; each flow once in its time.
const countEvery = 250 * time.Millisecond

// Run asks until the context ends. A set without counters, or without the flow, is no
// error: then its packets are not known.
func (c *Counts) Run(ctx context.Context, of Uncounted) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	defer c.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, f := range of.Uncounted() {
			if n, err := c.Packets(f); err == nil && n > 0 {
				of.Counted(f, n)
			} else if err != nil && !errors.Is(err, unix.ENOENT) {
				c.Close() // and open it anew
				break
			}
		}
	}
}

// Packets is how many packets of a flow were denied since it was reported, 0 where that
// is not counted.
func (c *Counts) Packets(f denials.Flow) (uint64, error) {
	key, family, ok := element(f)
	if !ok {
		return 0, nil
	}
	if c.socket == nil {
		s, err := openSocket(c.Namespace, 64<<10)
		if err != nil {
			return 0, err
		}
		c.socket = s
	}
	seq := c.socket.next()
	req := newRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM, unix.NLM_F_ACK, seq, unix.NFPROTO_INET, 0)
	req.attr(unix.NFTA_SET_ELEM_LIST_TABLE, append([]byte(c.Table), 0))
	req.attr(unix.NFTA_SET_ELEM_LIST_SET, append([]byte(c.Set+family), 0))
	req.attr(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_LIST_ELEMENTS,
		wrap(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, wrap(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_KEY, wrap(unix.NFTA_DATA_VALUE, key))))
	var packets uint64
	err := c.socket.ask(req, seq, func(m message) {
		if m.kind == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM && len(m.payload) > sizeofGenmsg {
			packets = counted(m.payload[sizeofGenmsg:])
		}
	}, func(message) {})
	if err != nil {
		return 0, fmt.Errorf("count packets of a denied flow: %w", err)
	}
	return packets, nil
}

// Close closes the socket, which is opened again when it is needed.
func (c *Counts) Close() {
	if c.socket != nil {
		c.socket.close()
		c.socket = nil
	}
}

// element is the key of the flow in its family's set. Each field begins at a multiple of
// four bytes.
func element(f denials.Flow) (key []byte, family string, ok bool) {
	src, dst, protocol, port, ok := f.Element()
	key = append(append(key, src.AsSlice()...), dst.AsSlice()...)
	key = append(key, byte(protocol), 0, 0, 0)
	key = append(binary.BigEndian.AppendUint16(key, port), 0, 0)
	if src.Is4() {
		return key, "-v4", ok
	}
	return key, "-v6", ok
}

// wrap is one attribute around a value.
func wrap(kind uint16, value []byte) []byte {
	r := request{}
	r.attr(kind, value)
	return r.b
}

// counted finds the counter of the one element in a list, 0 if it has none.
func counted(list []byte) uint64 {
	of := nested(nested(list, unix.NFTA_SET_ELEM_LIST_ELEMENTS), unix.NFTA_LIST_ELEM)
	for kind, v := range attributes(of) {
		switch kind {
		case unix.NFTA_SET_ELEM_EXPR:
			if n, ok := counterIn(v); ok {
				return n
			}
		case setElemExpressions:
			for _, one := range attributes(v) {
				if n, ok := counterIn(one); ok {
					return n
				}
			}
		}
	}
	return 0
}

// setElemExpressions is NFTA_SET_ELEM_EXPRESSIONS, where an element has more than one.
const setElemExpressions = 11

func counterIn(expr []byte) (packets uint64, ok bool) {
	if string(untilZero(nested(expr, unix.NFTA_EXPR_NAME))) != "counter" {
		return 0, false
	}
	v := nested(nested(expr, unix.NFTA_EXPR_DATA), unix.NFTA_COUNTER_PACKETS)
	if len(v) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(v), true
}
