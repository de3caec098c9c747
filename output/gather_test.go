package output_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/output"
)

// gather runs a test in a bubble, so that time is virtual. add adds texts in a new goroutine and
// waits until that is blocked. Each list takes as long as its first text says. published
// returns the lists so far.
func gather(t *testing.T, limit int, test func(add func(texts ...string), published func() []string)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var mu sync.Mutex
		var published []string
		lists := output.NewLists(func(texts []string) {
			mu.Lock()
			published = append(published, strings.Join(texts, " "))
			mu.Unlock()
			took, _ := time.ParseDuration(strings.SplitN(texts[0], ":", 2)[0])
			time.Sleep(took) //nolint:forbidigo // the time is virtual
		})
		test(func(texts ...string) {
			go lists.Add(limit, texts...)
			synctest.Wait()
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(published)
		})
	})
}

func wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the time is virtual
	synctest.Wait()
}

func TestMessagesThatArriveDuringACallMakeUpTheNextOne(t *testing.T) {
	gather(t, 10, func(add func(...string), published func() []string) {
		add("100ms:a")
		add("50ms:b")
		add("c", "d")
		assert.Equal(t, []string{"100ms:a"}, published(), "the first one waits for nothing")
		wait(100 * time.Millisecond)
		add("e")
		assert.Equal(t, []string{"100ms:a", "50ms:b c d"}, published())
		wait(50 * time.Millisecond)
		assert.Equal(t, []string{"100ms:a", "50ms:b c d", "e"}, published())
		add("f")
		assert.Equal(t, "f", published()[3], "nothing is under way")
	})
}

func TestFullListDoesNotWait(t *testing.T) {
	gather(t, 3, func(add func(...string), published func() []string) {
		add("100ms:a")
		add("b")
		add("50ms:c", "d")
		assert.Equal(t, []string{"100ms:a", "b 50ms:c d"}, published())
		add("10ms:1", "2", "3", "4")
		assert.Equal(t, "10ms:1 2 3 4", published()[2], "a batch is never in two lists at a time")
		add("e", "f")
		add("g", "h")
		assert.Equal(t, "e f", published()[3])
		wait(10 * time.Millisecond)
		assert.Len(t, published(), 4, "a list is still under way")
		wait(90 * time.Millisecond)
		assert.Equal(t, "g h", published()[4])
	})
}

func TestCallThatTakesLongDoesNotHoldUpTheNextOne(t *testing.T) {
	gather(t, 10, func(add func(...string), published func() []string) {
		add("30s:a")
		wait(500 * time.Millisecond)
		add("5s:b")
		wait(499 * time.Millisecond)
		assert.Len(t, published(), 1)
		wait(time.Millisecond)
		assert.Equal(t, []string{"30s:a", "5s:b"}, published())
		add("c")
		wait(time.Second)
		add("d")
		assert.Equal(t, []string{"30s:a", "5s:b", "c", "d"}, published(), "there is nothing left to wait for")
		wait(time.Minute)
	})
}

func TestListHasNoMoreBytesThanItsLimit(t *testing.T) {
	large := strings.Repeat("x", 5<<20)
	assert.Equal(t, 3, output.CallSize(10, large, "a", "b", large))
	assert.Equal(t, 1, output.CallSize(10, large+large, "a"))
	assert.Equal(t, 2, output.CallSize(2, "a", "b", "c"))
	gather(t, 10, func(add func(...string), published func() []string) {
		add("100ms:a")
		add(large, "b")
		add(large, "c")
		assert.Equal(t, large+" b", published()[1], "two do not fit, so the first one does not wait")
		wait(100 * time.Millisecond)
		assert.Len(t, published(), 3)
	})
}
