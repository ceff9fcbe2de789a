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
	"github.com/sluice-net/sluice/enforcer/netns"
)

// lane is the fast lane into the kernel: it brings all that changes after a start
// there itself, in one netlink batch, where a run of nft would first read the
// tables. It takes a transaction whole or not at all, and what it does not know
// for sure it leaves to nft.
type lane struct {
	ns     netns.Namespace
	family byte
	// socket is opened when it is first needed, and again after an error.
	socket *batchSocket
	// sets are those of our table of the family that were met so far, nil where only
	// nft may change the elements.
	sets map[string]*layout
}

func newLane(ns netns.Namespace, family byte) *lane {
	return &lane{ns: ns, family: family, sets: map[string]*layout{}}
}

// maxLaneOps is where nft's start and its reading of the tables no longer
// matter beside the work itself.
const maxLaneOps = 20_000

// encode returns the transaction as a batch, or an error if it is not for the
// lane.
func (l *lane) encode(ops []compiler.Op) (*nlBatch, error) {
	if len(ops) > maxLaneOps {
		return nil, errBatchTooLarge
	}
	// Nearly all that is not for the lane can be told from the objects alone.
	for _, op := range ops {
		if !forLane(l.family, op) {
			return nil, errNotForLane
		}
	}
	b := newBatch(l.family)
	for i, op := range ops {
		var err error
		switch o := op.Object.(type) {
		case *knftables.Element:
			err = l.element(b, i, op.Verb, o)
		case *knftables.Rule:
			err = l.rule(b, i, o)
		default:
			err = b.object(i, op)
		}
		if err != nil {
			return nil, err
		}
	}
	b.close()
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", inShort(ops[b.opAt(b.failedAt)]), b.err)
	}
	return b, nil
}

// forLane is strict about what the compiler does not do: nobody knows what nft
// makes of it.
func forLane(family byte, op compiler.Op) bool {
	if _, element := op.Object.(*knftables.Element); family == unix.NFPROTO_BRIDGE && !element {
		return false // all else in that table never changes
	}
	switch o := op.Object.(type) {
	case *knftables.Element:
		return op.Verb != compiler.Flush && family != unix.NFPROTO_NETDEV && o.Comment == nil
	case *knftables.Rule:
		return op.Verb == compiler.Add && o.Index == nil && o.Handle == nil && (o.Comment == nil || len(*o.Comment) <= maxComment)
	case *knftables.Chain:
		return op.Verb != compiler.Add || o.Comment == nil && (isPlain(o) || family == unix.NFPROTO_NETDEV && isGuard(o))
	case *knftables.Table:
		return op.Verb == compiler.Add && family == unix.NFPROTO_NETDEV && o.Comment == nil && o.Flags == nil
	case *knftables.Counter:
		return op.Verb != compiler.Flush && o.Comment == nil && o.Packets == nil && o.Bytes == nil
	case *knftables.Set:
		return family == unix.NFPROTO_INET && (op.Verb == compiler.Delete || op.Verb == compiler.Add && o.TypeOf == "" &&
			o.Timeout == nil && o.GCInterval == nil && o.Size == nil && o.Policy == nil && o.AutoMerge == nil && o.Comment == nil)
	case *knftables.Map:
		return family == unix.NFPROTO_INET && (op.Verb == compiler.Delete || op.Verb == compiler.Add && o.TypeOf == "" &&
			o.Timeout == nil && o.GCInterval == nil && o.Size == nil && o.Policy == nil && o.Comment == nil)
	}
	return false
}

func (l *lane) element(b *nlBatch, op int, verb compiler.Verb, e *knftables.Element) error {
	set := e.Set + e.Map
	layout := l.layout(b, set)
	// Sets with ranges never change in place, and deleting from them what was
	// never added deletes something else.
	if layout == nil || layout.interval && (verb == compiler.Delete || !layout.open) {
		return fmt.Errorf("set %s: %w", set, errNotForLane)
	}
	if layout.interval && !layout.begun {
		begun := *layout
		begun.begun = true
		b.sets[set] = &begun
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

// rule adds a rule, with the sets that it has for itself.
func (l *lane) rule(b *nlBatch, op int, r *knftables.Rule) error {
	made, err := l.assemble(b, op, r.Rule)
	if err != nil {
		return fmt.Errorf("rule %q: %w", r.Rule, err)
	}
	b.close()
	b.begin(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "", op)
	b.text(unix.NFTA_RULE_CHAIN, r.Chain)
	list := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range made {
		one := b.beginAttr(unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM)
		data, err := expr.Marshal(b.family, e)
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

// assemble turns the text of a rule into what nft makes of it.
func (l *lane) assemble(b *nlBatch, op int, text string) ([]expr.Any, error) {
	if b.family != unix.NFPROTO_INET {
		return guardRule(b, op, text)
	}
	if parsed, ok := compiler.ParseEpochRule(text); ok {
		return expressions(parsed), nil
	}
	return allowRule(text, func(set string) *layout { return l.layout(b, set) })
}

// comment is as nft keeps it: type 0, length, text with a zero at its end.
func (b *nlBatch) comment(text string) {
	data := append([]byte{0, byte(len(text) + 1)}, text...)
	b.userdata(unix.NFTA_RULE_USERDATA, append(data, 0))
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
	case compiler.AcceptError:
		return []expr.Any{
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
		l.adopt(b)
		return nil
	case errors.As(err, &refused):
		// The socket is as good as before: the kernel answered.
		refused.blame(b, ops)
		return err
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
	case *knftables.Set:
		return fmt.Sprintf("%s set %s of %s", verb, o.Name, o.Type)
	case *knftables.Map:
		return fmt.Sprintf("%s map %s of %s", verb, o.Name, o.Type)
	case *knftables.Counter:
		return fmt.Sprintf("%s counter %s", verb, o.Name)
	case *knftables.Table:
		return verb + " table"
	}
	return verb
}

// inShort is for errors: a rule can have thousands of addresses.
func inShort(op compiler.Op) string {
	const most = 200
	text := describe(op)
	if len(text) > most {
		text = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:most], ""), len(text))
	}
	return text
}

// layout knows what a set will be where the batch is. If it is met first, the
// kernel is asked: an earlier agent may have made it.
func (l *lane) layout(b *nlBatch, set string) *layout {
	if known, ok := b.sets[set]; ok {
		return known
	}
	known, ok := l.sets[set]
	if ok {
		return known
	}
	if l.open() != nil {
		return nil
	}
	known, err := l.socket.describe(l.family, set)
	if err != nil {
		l.close()
		return nil
	}
	l.sets[strings.Clone(set)] = known
	return known
}

// adopt takes over what a batch did that the kernel accepted.
func (l *lane) adopt(b *nlBatch) {
	for set, layout := range b.sets {
		if layout == nil {
			delete(l.sets, set)
		} else {
			l.sets[strings.Clone(set)] = layout
		}
	}
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
