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

// source is a reader that returns data in chunks and counts its reads.
type source struct {
	data      []byte
	chunkSize func() int
	reads     int
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	s.reads++
	n := copy(p, s.data[:min(len(s.data), s.chunkSize())])
	s.data = s.data[n:]
	return n, nil
}

func TestReadAheadReducesTheNumberOfReads(t *testing.T) {
	const size = 1 << 20
	all := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	whole := func() int { return size }
	random := func() int { return 1 + rand.IntN(5000) }
	for name, c := range map[string]struct {
		chunkSize, readSize func() int
		maxReads            int // of the source
	}{
		"small reads, everything available": {whole, func() int { return 1024 }, 2 + size/(32<<10)},
		"large reads, everything available": {whole, func() int { return 256 << 10 }, 4},
		"small reads, small chunks":         {func() int { return 100 }, func() int { return 1024 }, size/100 + 1},
		"random":                            {random, random, size},
	} {
		t.Run(name, func(t *testing.T) {
			s := &source{data: all, chunkSize: c.chunkSize}
			r := &wsx.ReadAhead{Source: s}
			var got []byte
			for {
				p := make([]byte, c.readSize())
				n, err := r.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					require.ErrorIs(t, err, io.EOF)
					break
				}
			}
			assert.True(t, bytes.Equal(all, got))
			assert.LessOrEqual(t, s.reads, c.maxReads)
			assert.False(t, r.HasBuffer(), "the buffer was returned to the pool")
		})
	}
}

func TestDisabledReadAheadReadsOnlyWhatIsAskedFor(t *testing.T) {
	s := &source{data: make([]byte, 100_000), chunkSize: func() int { return 100_000 }}
	r := &wsx.ReadAhead{Source: s}
	r.Disable()
	for read := 100; read <= 1000; read += 100 {
		n, err := r.Read(make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
		require.Len(t, s.data, 100_000-read)
	}
}
