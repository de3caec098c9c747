package wsx_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// source is a socket that has so much at once.
type source struct {
	rest  []byte
	piece func() int
	reads int
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	s.reads++
	n := copy(p, s.rest[:min(len(s.rest), s.piece())])
	s.rest = s.rest[n:]
	return n, nil
}

func TestWhatComesTogetherIsReadTogether(t *testing.T) {
	const size = 1 << 20
	all := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	whole := func() int { return size }
	for name, c := range map[string]struct {
		piece, ask func() int
		most       int // reads of the source
	}{
		"plenty":           {whole, func() int { return 1024 }, 2 + size/(32<<10)},
		"large ones":       {whole, func() int { return 256 << 10 }, 4},
		"little at a time": {func() int { return 100 }, func() int { return 1024 }, size/100 + 1},
		"as it comes":      {func() int { return 1 + rand.IntN(5000) }, func() int { return 1 + rand.IntN(5000) }, size},
	} {
		t.Run(name, func(t *testing.T) {
			s := &source{rest: all, piece: c.piece}
			a := &wsx.Ahead{Source: s}
			var got []byte
			for {
				p := make([]byte, c.ask())
				n, err := a.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					require.ErrorIs(t, err, io.EOF)
					break
				}
			}
			assert.True(t, bytes.Equal(all, got))
			assert.LessOrEqual(t, s.reads, c.most)
			assert.False(t, a.Waits(), "it has no memory for nothing")
		})
	}
}

func TestNothingIsReadAheadWhereFramesAreKept(t *testing.T) {
	s := &source{rest: make([]byte, 100_000), piece: func() int { return 100_000 }}
	a := &wsx.Ahead{Source: s}
	a.TurnOff()
	for read := 100; read <= 1000; read += 100 {
		n, err := a.Read(make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
		require.Len(t, s.rest, 100_000-read)
	}
}
