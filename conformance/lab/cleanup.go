package lab

// Close stops everything and gives everything back. It may be called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	if l.unregister != nil {
		l.unregister()
	}
	if l.servers != nil {
		l.servers.poll.stop()
	}
	for _, n := range l.namespaces() {
		n.close()
	}
	return nil
}

// namespaces are all that the lab made, each once.
func (l *Lab) namespaces() []*Namespace {
	var all []*Namespace
	for _, n := range []*Namespace{l.fabric, l.outside} {
		if n != nil {
			all = append(all, n)
		}
	}
	for _, n := range l.nodes {
		all = append(all, n)
	}
	for _, p := range l.pods {
		if !p.Pod.HostNetwork {
			all = append(all, p.Namespace)
		}
	}
	return all
}

func reapStale() error { return nil }
