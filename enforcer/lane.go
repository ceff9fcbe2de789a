package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// lane is the fast lane into the kernel: it brings changes of elements and of
// the rules that name the epoch there itself, in one netlink batch, where a run
// of nft would first read the tables. It takes a transaction whole or not at
// all, and what it does not know for sure it leaves to nft.
type lane struct {
	ns Netns
	// socket is opened when it is first needed, and again after an error.
	socket *batchSocket
	// sets are those of table inet sluice that were met so far, nil where only
	// nft may change the elements.
	sets map[string]*layout
}

func newLane(ns Netns) *lane { return &lane{ns: ns, sets: map[string]*layout{}} }

// maxLaneOps is where nft's start and its reading of the tables no longer
// matter beside the work itself.
const maxLaneOps = 20_000

// encode returns the transaction as a batch, or an error if it is not for the
// lane.
func (l *lane) encode(ops []compiler.Op) (*nlBatch, error) {
	if len(ops) > maxLaneOps {
		return nil, errBatchTooLarge
	}
	// Nearly all that is not for the lane can be told from the kinds of objects.
	for _, op := range ops {
		if !forLane(op) {
			return nil, errNotForLane
		}
	}
	b := newBatch()
	for i, op := range ops {
		var err error
		switch o := op.Object.(type) {
		case *knftables.Element:
			err = l.element(b, i, op.Verb, o)
		case *knftables.Chain:
			b.flush(o.Name, i)
		case *knftables.Rule:
			err = b.rule(i, o)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

func forLane(op compiler.Op) bool {
	switch op.Object.(type) {
	case *knftables.Element:
		return op.Verb != compiler.Flush
	case *knftables.Chain:
		return op.Verb == compiler.Flush
	case *knftables.Rule:
		return op.Verb == compiler.Add
	}
	return false
}

func (l *lane) element(b *nlBatch, op int, verb compiler.Verb, e *knftables.Element) error {
	set := e.Set + e.Map
	layout := l.layout(set)
	if layout == nil || e.Comment != nil {
		return fmt.Errorf("set %s: %w", set, errNotForLane)
	}
	kind := uint16(unix.NFT_MSG_NEWSETELEM)
	if verb == compiler.Delete {
		kind = unix.NFT_MSG_DELSETELEM
	}
	if err := b.element(kind, set, op, layout, e.Key, e.Value); err != nil {
		return fmt.Errorf("set %s: %w", set, err)
	}
	return nil
}

// maxComment is what the length of a comment can say.
const maxComment = 127

// rule adds a rule that names the epoch.
func (b *nlBatch) rule(op int, r *knftables.Rule) error {
	parsed, ok := compiler.ParseEpochRule(r.Rule)
	if !ok || r.Index != nil || r.Handle != nil || r.Comment != nil && len(*r.Comment) > maxComment {
		return errNotForLane
	}
	b.close()
	b.begin(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "", op)
	b.text(unix.NFTA_RULE_CHAIN, r.Chain)
	list := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range expressions(parsed) {
		one := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		data, err := expr.Marshal(unix.NFPROTO_INET, e)
		if err != nil {
			return fmt.Errorf("encode rule: %w", err)
		}
		b.bytes = append(b.bytes, data...)
		b.endAttr(one)
	}
	b.endAttr(list)
	if r.Comment != nil {
		b.comment(*r.Comment)
	}
	return nil
}

// comment is as nft keeps it: type 0, length, text with a zero at its end.
func (b *nlBatch) comment(text string) {
	start := b.beginAttr(unix.NFTA_RULE_USERDATA)
	b.bytes = append(b.bytes, 0, byte(len(text)+1))
	b.bytes = append(append(b.bytes, text...), 0)
	b.endAttr(start)
}

// expressions are what nft makes of the rule's text.
func expressions(r compiler.EpochRule) []expr.Any {
	// A mark is a number of the host, a register holds it as such.
	number := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	const register = unix.NFT_REG_1
	mark := &expr.Ct{Key: expr.CtKeyMARK, Register: register}
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	masked := func(xor uint32) expr.Any {
		return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: number(r.Mask), Xor: number(xor)}
	}
	switch r.Kind {
	case compiler.AcceptJudged:
		return []expr.Any{
			&expr.Ct{Key: expr.CtKeySTATE, Register: register},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: number(expr.CtStateBitRELATED)},
			mark, masked(0),
			&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: number(r.Value)},
			accept,
		}
	case compiler.MarkJudged:
		return []expr.Any{mark, masked(r.Value), &expr.Ct{Key: expr.CtKeyMARK, Register: register, SourceRegister: true}, accept}
	}
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: r.Chain}}
}

// send has the kernel execute a batch. An error that is errNotSent means that
// it never saw it.
func (l *lane) send(b *nlBatch, ops []compiler.Op) error {
	data, err := b.finish()
	if err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err := l.open(); err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	last := uint32(b.messages[len(b.messages)-1].start)
	err = l.socket.execute(data, last)
	var refused *refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		// The socket is as good as before: the kernel answered.
		return fmt.Errorf("%s: %w", describe(ops[b.opAt(refused.offset)]), err)
	}
	l.close()
	return err
}

func (l *lane) open() (err error) {
	if l.socket == nil {
		l.socket, err = openBatchSocket(l.ns)
	}
	return err
}

func (l *lane) close() {
	if l.socket != nil {
		l.socket.close()
		l.socket = nil
	}
}

// describe says what an operation does, for errors and the log.
func describe(op compiler.Op) string {
	verb := map[compiler.Verb]string{compiler.Add: "add", compiler.Delete: "delete", compiler.Flush: "flush"}[op.Verb]
	switch o := op.Object.(type) {
	case *knftables.Element:
		return strings.Join(slices.Concat([]string{verb, "element", strings.Join(o.Key, " . "), "of", o.Set + o.Map}, o.Value), " ")
	case *knftables.Rule:
		return fmt.Sprintf("%s rule of chain %s: %s", verb, o.Chain, o.Rule)
	case *knftables.Chain:
		return fmt.Sprintf("%s chain %s", verb, o.Name)
	}
	return verb
}

// layout asks the kernel what a set is when it is met first: an earlier agent
// may have made it.
func (l *lane) layout(set string) *layout {
	known, ok := l.sets[set]
	if ok {
		return known
	}
	if l.open() != nil {
		return nil
	}
	known, err := l.socket.describe(set)
	if err != nil {
		l.close()
		return nil
	}
	l.sets[strings.Clone(set)] = known
	return known
}

// forget is for what nft made or deleted. If others change a set behind our
// back, the kernel refuses what does not fit.
func (l *lane) forget(ops []compiler.Op) {
	for _, op := range ops {
		switch o := op.Object.(type) {
		case *knftables.Table:
			clear(l.sets)
		case *knftables.Set:
			delete(l.sets, o.Name)
		case *knftables.Map:
			delete(l.sets, o.Name)
		}
	}
}
