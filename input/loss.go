package input

import "sync"

// loss tells the engine that a connection is lost, once nothing that it was given is
// unsettled: while the engine waits for a connection, it tries nothing again that was
// rejected.
type loss struct {
	told chan struct{}

	// mu guards what follows. Nothing waits under it.
	mu   sync.Mutex
	down bool
	// unsettled has what the engine was given, each with the time at which it was
	// published.
	unsettled map[uint64]string
	next      uint64
}

func newLoss() *loss {
	return &loss{told: make(chan struct{}, 1), unsettled: map[uint64]string{}}
}

// happened says that a connection is lost, or could not be opened.
func (l *loss) happened() { l.change(func() { l.down = true }) }

// given says that the engine was given a batch that was published then. It returns what
// says that the engine is done with it.
func (l *loss) given(published string) (settled func()) {
	var number uint64
	l.change(func() {
		l.next++
		number = l.next
		l.unsettled[number] = published
	})
	return func() { l.change(func() { delete(l.unsettled, number) }) }
}

func (l *loss) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	if l.down && len(l.unsettled) == 0 {
		notify(l.told)
	}
}

// due tells whether the engine is to be told now. Something may have been given to
// it since that was decided.
func (l *loss) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down && len(l.unsettled) == 0
}

// over says that a new attempt to connect begins.
func (l *loss) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
	select {
	case <-l.told:
	default:
	}
}
