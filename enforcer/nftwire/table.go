package nftwire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/compiler"
)

// Table changes our table of one family, in batches.
type Table struct {
	family byte
	// open opens a socket in the table's network namespace. It is opened when it is
	// first needed, and again after an error.
	open   func() (*Socket, error)
	socket *Socket
}

// NewTable is for the table of a family, by its number (NFPROTO_…).
func NewTable(family byte, open func() (*Socket, error)) *Table {
	return &Table{family: family, open: open}
}

// MaxOps is where nft's start and its reading of the tables no longer
// matter beside the work itself.
const MaxOps = 20_000

// Encode returns operations as a batch, or an error: [ErrUnsupported], [ErrNoEncoding],
// [ErrTooLarge] or [ErrTooLong]. A transaction is encoded whole or not at all.
func (t *Table) Encode(ops []compiler.Op) (*Batch, error) {
	if len(ops) > MaxOps {
		return nil, ErrTooLarge
	}
	for _, op := range ops {
		if !supports(t.family, op) {
			return nil, fmt.Errorf("%s: %w", inShort(op), ErrUnsupported)
		}
	}
	b := newBatch(t.family)
	for i, op := range ops {
		if err := b.operation(i, op); err != nil {
			return nil, fmt.Errorf("%s: %w", inShort(op), err)
		}
	}
	b.close()
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", inShort(ops[b.opAt(b.failedAt)]), b.err)
	}
	return b, nil
}

// Send has the kernel execute a batch of these operations. An error that is [ErrNotSent]
// means that it never saw it. A *[Refusal] says what the kernel did not like.
func (t *Table) Send(b *Batch, ops []compiler.Op) error {
	if len(ops) == 0 {
		return nil
	}
	data, err := b.finish()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if t.socket == nil {
		if t.socket, err = t.open(); err != nil {
			t.socket = nil
			return fmt.Errorf("%w: %w", ErrNotSent, err)
		}
	}
	err = t.socket.execute(data, b.offset(b.messages[len(b.messages)-1].start))
	var refused *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		// The socket is as good as before: the kernel answered.
		refused.blame(b, ops)
		return err
	}
	t.Close()
	return err
}

// Close gives up the socket.
func (t *Table) Close() {
	if t.socket != nil {
		t.socket.Close()
		t.socket = nil
	}
}

// inShort is for errors: a rule can have thousands of addresses.
func inShort(op compiler.Op) string {
	const most = 200
	text := op.Describe()
	if len(text) > most {
		text = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:most], ""), len(text))
	}
	return text
}
