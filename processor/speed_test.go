package processor

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestListIsAsLongAsTheServerCanRunInItsTime(t *testing.T) {
	var s speeds
	assert.Equal(t, 100, s.listLength("a", 1, 100), "the speed is not known")
	s.record("a", 0, 0)
	s.record("a", 100*time.Millisecond, 20)
	assert.Equal(t, 4, s.listLength("a", 1, 100), "5 ms each")
	assert.Equal(t, 50, s.listLength("a", 50, 100), "all at once")
	assert.Equal(t, 3, s.listLength("a", 50, 3))
	assert.Equal(t, 100, s.listLength("b", 1, 100))
	s.record("b", time.Minute, 1)
	assert.Equal(t, 1, s.listLength("b", 1, 100))
	s.record("b", 0, 100)
	assert.Equal(t, 100, s.listLength("b", 1, 100), "faster at once")
}

func TestStallsOfTheServerHardlyShortenTheLists(t *testing.T) {
	var s speeds
	for range 10 {
		s.record("a", 5*time.Millisecond, 100)
		s.record("a", 500*time.Millisecond, 100)
		s.record("a", 50*time.Millisecond, 1)
		assert.Equal(t, 100, s.listLength("a", 1, 100))
	}
	for range 40 {
		s.record("a", 20*time.Millisecond, 1)
	}
	assert.Equal(t, 1, s.listLength("a", 1, 100), "slow all the time")
}

func TestSpeedsOfManyServicesAreForgotten(t *testing.T) {
	var s speeds
	for i := range 5 * maxSpeeds {
		s.record(strconv.Itoa(i), time.Second, 1)
	}
	assert.LessOrEqual(t, len(s.perRequest), maxSpeeds)
}
