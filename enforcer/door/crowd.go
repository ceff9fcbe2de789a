package door

import (
	"net"
	"net/netip"
	"sync"
)

// Connections that may be open at a time. Since each carries one request at a
// time, these bound the requests as well.
const (
	maxConns     = 64
	maxOfASource = 16
)

// crowd bounds how many connections are open. It turns nobody away: whoever
// comes when it is full takes the place of the oldest connection of whoever has
// most, so that one client, however many it opens, only ever pushes itself
// aside.
type crowd struct {
	net.Listener
	mu sync.Mutex
	// inside are the open connections, oldest first.
	inside []*guest
}

func newCrowd(l net.Listener) *crowd { return &crowd{Listener: l} }

// guest is an open connection.
type guest struct {
	net.Conn
	crowd  *crowd
	source netip.Prefix
}

// Accept is of net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{conn, c, sourceOf(conn.RemoteAddr())}
	for _, old := range c.enter(g) {
		_ = old.Close()
	}
	return g, nil
}

// sourceOf is what counts as one client: an address, of IPv6 the link.
func sourceOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := t.AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

// enter admits g and returns who has to leave.
func (c *crowd) enter(g *guest) []*guest {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside = append(c.inside, g)
	count := map[netip.Prefix]int{}
	for _, o := range c.inside {
		count[o.source]++
	}
	var leaving []*guest
	if count[g.source] > maxOfASource {
		leaving = append(leaving, c.oldest(g.source))
	} else if len(c.inside) > maxConns {
		most := c.inside[0].source
		for _, o := range c.inside {
			if count[o.source] > count[most] {
				most = o.source
			}
		}
		leaving = append(leaving, c.oldest(most))
	}
	for _, o := range leaving {
		c.remove(o)
	}
	return leaving
}

func (c *crowd) oldest(source netip.Prefix) *guest {
	for _, g := range c.inside {
		if g.source == source {
			return g
		}
	}
	return nil
}

func (c *crowd) remove(g *guest) {
	for i, o := range c.inside {
		if o == g {
			c.inside = append(c.inside[:i], c.inside[i+1:]...)
			return
		}
	}
}

// Close is of net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.remove(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}
