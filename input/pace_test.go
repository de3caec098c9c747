package input

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestFetchOfASharedSubscriptionTakesWhatThePipelineSettlesInTwoSeconds(t *testing.T) {
	for name, tt := range map[string]struct {
		work           time.Duration // for each message
		prefetch, most int
	}{
		"as fast as can be": {work: 0, prefetch: 1, most: 500},
		"1 ms":              {work: time.Millisecond, prefetch: 1, most: 500},
		"20 ms":             {work: 20 * time.Millisecond, prefetch: 1, most: 100},
		"20 ms, prefetch 2": {work: 20 * time.Millisecond, prefetch: 2, most: 200},
		"1 s":               {work: time.Second, prefetch: 1, most: smallBatch},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutstanding(wsx.Limits{}, tt.prefetch, true)
				n := 0
				for range 5 {
					<-time.After(time.Minute) // nothing was published
					o.add(fetchedMessages(n, o.next(time.Now()).Max))
					for batch := o.take(); batch != nil; batch = o.take() {
						n += len(batch)
						<-time.After(tt.work * time.Duration(len(batch)))
						o.settle(batch, acknowledged)
					}
				}
				assert.Equal(t, tt.most, o.next(time.Now()).Max)
			})
		})
	}
}

func TestFetchOfASharedSubscriptionFollowsAPipelineThatBecomesSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutstanding(wsx.Limits{}, 1, true)
		settle := func(n int, work time.Duration) {
			o.add(fetchedMessages(0, n))
			<-time.After(work * time.Duration(n))
			o.settle(o.take(), acknowledged)
			o.next(time.Now())
		}
		settle(500, time.Millisecond)
		assert.Equal(t, 500, o.next(time.Now()).Max)
		for range 10 {
			settle(50, 100*time.Millisecond)
		}
		assert.LessOrEqual(t, o.next(time.Now()).Max, 21)
	})
}
