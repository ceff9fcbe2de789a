package lab

import "errors"

// Close stops everything and gives everything back. It may be called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	closed, published := l.closed, l.published
	l.closed, l.published = true, nil
	l.mu.Unlock()
	if closed {
		return nil
	}
	if l.unregister != nil {
		l.unregister()
	}
	if l.servers != nil {
		l.servers.stopStreams()
		l.servers.poll.stop()
	}
	l.mu.Lock()
	for _, n := range l.namespaces() {
		n.close()
	}
	l.mu.Unlock()
	var errs []error
	for _, path := range published {
		errs = append(errs, withdraw(path))
	}
	return errors.Join(errs...)
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
