package rulesim

import "net/netip"

// Hop is one hook that a packet passes, on one node.
type Hop struct {
	Kernel  *Kernel
	Hook    Hook
	In, Out string
	// ToNode: the packet is for an address of the node's.
	ToNode bool
	// Astray: the node would answer by another interface.
	Astray bool
	// Service is the destination that the packet has here, if that is not the flow's;
	// only base chains before the priority Before see it.
	Service netip.Addr
	Before  int
}

// Flow is a connection from one address to another. Protocols without ports
// take ToPort as nothing and FromPort as the ICMP type.
type Flow struct {
	Src, Dst         netip.Addr
	Protocol         uint8
	FromPort, ToPort uint16
}

// Connection is a flow as the conntracks on its way know it. Each node keeps
// its own entry.
type Connection struct {
	Flow Flow
	// There are the hops from source to destination, Back those of the
	// replies.
	There, Back []Hop
	// About are the ends of the flow that a stray packet is an error about, if that
	// is not its own.
	About [2]netip.Addr
	// ForeignMark is what others wrote into the conntrack mark.
	ForeignMark uint32
	// Trace asks for the traces of judgements.
	Trace   bool
	entries map[*Kernel]*Entry
	marks   []uint32
}

// Open sends the first packet. A node that drops it forgets the connection, as
// conntrack does with entries it never confirmed. It gives the results of the
// hops that the packet came to.
func (c *Connection) Open() []Result {
	c.entries = map[*Kernel]*Entry{}
	return c.send(c.There, New, false)
}

// Stray sends a packet from source to destination on its own, in another state
// than a connection's first, with more bits in its mark: invalid and untracked
// ones have no entry.
func (c *Connection) Stray(s State, flags uint8, mark uint32) []Result {
	c.entries = map[*Kernel]*Entry{}
	var out []Result
	for _, h := range c.There {
		p := c.packet(h, New, false)
		p.State = s
		p.Entry.Mark |= mark
		if c.About[0].IsValid() {
			p.Entry.Original, p.Entry.Reply = c.About[0], c.About[1]
		}
		if s == Invalid || s == Untracked {
			p.Entry = nil
		}
		p.Transport = Transport(c.Flow.Protocol, c.Flow.FromPort, c.Flow.ToPort, flags)
		out = append(out, h.Kernel.Judge(p))
	}
	return out
}

// Marks are the conntrack marks that the last packet had after each hop, the
// one that dropped it too.
func (c *Connection) Marks() []uint32 { return c.marks }

// Send sends one more packet from source to destination.
func (c *Connection) Send() []Result { return c.send(c.There, Established, false) }

// Reply sends a packet back.
func (c *Connection) Reply() []Result { return c.send(c.Back, Established, true) }

// Passed reports whether a packet passed all hops.
func Passed(results []Result) bool {
	return len(results) == 0 || results[len(results)-1].Passed()
}

func (c *Connection) send(hops []Hop, s State, reply bool) []Result {
	var out []Result
	c.marks = c.marks[:0]
	for _, h := range hops {
		p := c.packet(h, s, reply)
		out = append(out, h.Kernel.Judge(p))
		c.marks = append(c.marks, p.Entry.Mark)
		if !out[len(out)-1].Passed() {
			break
		}
		p.Entry.Status |= Confirmed
		c.entries[h.Kernel] = p.Entry
	}
	return out
}

func (c *Connection) packet(h Hop, s State, reply bool) *Packet {
	f := c.Flow
	flags := ACK
	if s == New {
		flags = SYN
	}
	p := &Packet{Hook: h.Hook, In: h.In, Out: h.Out, ToNode: h.ToNode, Astray: h.Astray, Before: h.Before, Src: f.Src, Dst: f.Dst, HopLimit: 63,
		Protocol: f.Protocol, State: s, Reply: reply, Entry: c.entries[h.Kernel], Trace: c.Trace}
	if p.Entry == nil {
		p.Entry = &Entry{Mark: c.ForeignMark, Original: f.Src, Reply: f.Dst}
		if !reply && s == Established {
			p.State = New
		}
	}
	if reply {
		p.Src, p.Dst = f.Dst, f.Src
		f.FromPort, f.ToPort = f.answer()
	}
	if h.Service.IsValid() {
		p.Dst = h.Service
	}
	p.Transport = Transport(f.Protocol, f.FromPort, f.ToPort, flags)
	return p
}

// answer gives the ports of a reply, or the type of an echo reply.
func (f Flow) answer() (from, to uint16) {
	switch f.Protocol {
	case 1:
		return 0, 0
	case 58:
		return 129, 0
	}
	return f.ToPort, f.FromPort
}

// Judged sends a packet of an established connection that every hop must judge
// anew, whatever the hops before it said: mark is what they remember of it.
func (c *Connection) Judged(reply bool, mark uint32) []Result {
	hops := c.There
	if reply {
		hops = c.Back
	}
	c.entries = map[*Kernel]*Entry{}
	c.marks = c.marks[:0]
	var out []Result
	for _, h := range hops {
		p := c.packet(h, Established, reply)
		p.State = Established
		p.Entry.Mark |= mark
		p.Entry.Status |= Confirmed
		out = append(out, h.Kernel.Judge(p))
		c.marks = append(c.marks, p.Entry.Mark)
	}
	return out
}
