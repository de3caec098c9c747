package connection

// isConnected reports whether a connection of the pool is ready.
func isConnected(p *testPool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected()
}
