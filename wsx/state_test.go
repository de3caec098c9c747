package wsx_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestEveryStateHasAName(t *testing.T) {
	for s := wsx.Idle; s <= wsx.Stopped; s++ {
		assert.NotEqual(t, "unknown", s.String())
	}
	assert.Equal(t, "unknown", wsx.State(99).String())
}
