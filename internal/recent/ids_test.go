package recent_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/recent"
)

func TestOldestIDIsForgottenFirst(t *testing.T) {
	ids := recent.New(3, "a", "b", "c")
	assert.False(t, ids.Add("a"))
	assert.True(t, ids.Add("d"))
	assert.Equal(t, []string{"b", "c", "d"}, ids.All())
	assert.True(t, ids.Add("a"))
	assert.False(t, ids.Add("c"))
	assert.False(t, ids.Add("d"))
	assert.Equal(t, []string{"c", "d", "a"}, ids.All())
}

func TestEmptyIDIsAlwaysNew(t *testing.T) {
	ids := recent.New(3)
	assert.True(t, ids.Add(""))
	assert.True(t, ids.Add(""))
	assert.Empty(t, ids.All())
}
