package input

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// fetchedMessages returns n messages with the ids from, from+1 and so on.
func fetchedMessages(from, n int) []wsx.Message {
	out := make([]wsx.Message, n)
	for i := range out {
		out[i].MsgID = strconv.Itoa(from + i)
	}
	return out
}

// next returns the next request, and reports that it has succeeded.
func (o *outstanding) next(now time.Time) *wsx.FetchRequest {
	r := o.request(false, now)
	if r != nil {
		o.reported(r)
	}
	return r
}

func TestFetchWaitsBrieflyOnlyWhileThePipelineHasMessages(t *testing.T) {
	o := newOutstanding(wsx.Limits{FetchSeconds: 20}, 1, false)
	now := time.Now()
	assert.Equal(t, &wsx.FetchRequest{Max: 500, Wait: 20 * time.Second}, o.next(now))
	assert.Equal(t, &wsx.FetchRequest{Max: 500}, o.request(true, now), "without a wait")

	assert.Zero(t, o.add(fetchedMessages(0, 2)))
	batch := o.take()
	assert.Equal(t, &wsx.FetchRequest{Max: 500, Wait: shortWait}, o.next(now))
	o.settle(batch[:1], acknowledged)
	assert.Equal(t, &wsx.FetchRequest{Max: 500, Wait: shortWait, Confirmed: []string{"0"}}, o.next(now))
	o.settle(batch[1:], rejected)
	assert.Equal(t, &wsx.FetchRequest{Max: 500, Wait: 20 * time.Second, Returned: []string{"1"}}, o.next(now))
	assert.Empty(t, o.held)
}

func TestNothingIsFetchedWhileThePipelineHasEnough(t *testing.T) {
	for prefetch, most := range map[int]int{1: 500, 3: 1500, 10: 2000} {
		o := newOutstanding(wsx.Limits{FetchMessages: 2000}, prefetch, false)
		now := time.Now()
		assert.Equal(t, most, o.next(now).Max)
		o.add(fetchedMessages(0, prefetch*500-499))
		assert.Nil(t, o.next(now.Add(renewInterval-1)))
		// A consumer that does not call for long would lose its subscription.
		assert.Equal(t, &wsx.FetchRequest{}, o.next(now.Add(renewInterval)))

		o.settle(o.waiting[:1], acknowledged)
		assert.Equal(t, &wsx.FetchRequest{Confirmed: []string{"0"}}, o.next(now), "confirmations do not wait")
		o.take()
		assert.Positive(t, o.next(now).Max)
	}
}

func TestLongListsOfIDsGoOutInParts(t *testing.T) {
	o := newOutstanding(wsx.Limits{IDs: 10, FetchSeconds: 20}, 1, false)
	o.add(fetchedMessages(0, 25))
	o.settle(o.take(), acknowledged)
	var sizes []int
	var waits []time.Duration
	for range 4 {
		r := o.next(time.Now())
		sizes, waits = append(sizes, len(r.Confirmed)), append(waits, r.Wait)
	}
	assert.Equal(t, []int{10, 10, 5, 0}, sizes)
	assert.Equal(t, []time.Duration{0, 0, 20 * time.Second, 20 * time.Second}, waits)
}

func TestFetchWaitsIfTheGatewayNamesNoLimits(t *testing.T) {
	r := newOutstanding(wsx.Limits{}, 1, false).next(time.Now())
	assert.Equal(t, &wsx.FetchRequest{Max: 500, Wait: 10 * time.Second}, r)
}

func TestReportThatFailedIsRepeatedWithWhatWasSettledSince(t *testing.T) {
	o := newOutstanding(wsx.Limits{}, 1, false)
	o.add(fetchedMessages(0, 3))
	batch := o.take()
	o.settle(batch[:1], acknowledged)
	first := o.request(false, time.Now())
	o.settle(batch[1:], acknowledged)
	assert.Equal(t, []string{"0", "1", "2"}, o.request(false, time.Now()).Confirmed)
	o.reported(first)
	assert.Equal(t, []string{"1", "2"}, o.request(false, time.Now()).Confirmed)
}

func TestMessagesThatComeAgainAreDroppedUntilTheyAreConfirmed(t *testing.T) {
	o := newOutstanding(wsx.Limits{}, 1, false)
	o.add(fetchedMessages(0, 3))
	assert.Equal(t, 3, o.add(fetchedMessages(0, 3)), "they wait")
	batch := o.take()
	require.Len(t, batch, 3)
	assert.Equal(t, 3, o.add(fetchedMessages(0, 3)), "the pipeline has them")
	o.settle(batch, acknowledged)
	assert.Equal(t, 3, o.add(fetchedMessages(0, 3)), "they are not confirmed yet")
	o.next(time.Now())
	assert.Zero(t, o.add(fetchedMessages(0, 3)))
	assert.Len(t, o.take(), 3)
}

func TestMessagesOfASharedSubscriptionAreRenewedWhileThePipelineHasThem(t *testing.T) {
	o := newOutstanding(wsx.Limits{IDs: 2, FetchSeconds: 20}, 1, true)
	start := time.Now()
	assert.Equal(t, &wsx.FetchRequest{Max: smallBatch, Wait: 20 * time.Second, Lease: fetchLease}, o.next(start))
	o.add(fetchedMessages(0, 3))
	o.settle(o.waiting[:1], acknowledged)
	r := o.next(start.Add(renewInterval - 1))
	assert.Equal(t, []string{"0"}, r.Confirmed)
	assert.Empty(t, r.Renewed)
	assert.Nil(t, o.next(start.Add(renewInterval-1)))
	assert.ElementsMatch(t, []string{"1", "2"}, o.next(start.Add(renewInterval)).Renewed, "not what is confirmed")
	assert.Nil(t, o.next(start.Add(renewInterval)))
}

func TestNoMessageIsTakenWhileFetchesAreHeld(t *testing.T) {
	o := newOutstanding(wsx.Limits{}, 1, false)
	now := time.Now()
	o.hold(now.Add(time.Minute))
	o.calledAt = now
	assert.Nil(t, o.next(now))
	assert.InDelta(t, renewInterval, o.nextCall(), float64(time.Second))
	assert.Equal(t, 500, o.next(now.Add(time.Minute)).Max)
	o.hold(now.Add(2 * time.Second))
	assert.LessOrEqual(t, o.nextCall(), 2*time.Second)
}

func TestLastCallsReportEverything(t *testing.T) {
	o := newOutstanding(wsx.Limits{IDs: 2}, 1, false)
	requests, unsettled := o.final()
	assert.Equal(t, []wsx.FetchRequest{{Release: true}}, requests)
	assert.Zero(t, unsettled)

	o.add(fetchedMessages(0, 6))
	o.settle(o.waiting[:3], acknowledged)
	o.settle(o.waiting[3:4], rejected)
	requests, unsettled = o.final()
	assert.Equal(t, 2, unsettled)
	require.Len(t, requests, 2)
	assert.Equal(t, []string{"0", "1"}, requests[0].Confirmed)
	assert.Equal(t, []string{"2"}, requests[1].Confirmed)
	assert.ElementsMatch(t, []string{"3", "4", "5"}, append(requests[0].Returned, requests[1].Returned...))
	assert.False(t, requests[0].Release)
	assert.True(t, requests[1].Release)

	o.shared = true
	requests, _ = o.final()
	assert.False(t, requests[1].Release, "there is nothing to release")
}

func TestMessageThatKeepsFailingIsReturnedLaterEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutstanding(wsx.Limits{FetchSeconds: 20}, 1, false)
		var delays []time.Duration
		for i := range 14 {
			m := fetchedMessages(0, 1)
			m[0].DeliveryCount = i + 1
			o.add(m)
			o.settle(o.take(), rejected)
			rejectedAt := time.Now()
			r := o.next(rejectedAt)
			if len(r.Returned) == 0 {
				assert.Equal(t, r.Wait, o.nextCall(), "the call ends when the message is due")
				<-time.After(r.Wait)
				r = o.next(time.Now())
			}
			assert.Equal(t, []string{"0"}, r.Returned)
			delays = append(delays, time.Since(rejectedAt))
		}
		assert.Equal(t, []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}, delays[:4])
		assert.Equal(t, maxReturnDelay, delays[13])
	})
}

func TestNothingIsFetchedWhileABatchOfFailedMessagesWaitsToBeReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutstanding(wsx.Limits{}, 2, false)
		failed := fetchedMessages(0, 500)
		for i := range failed {
			failed[i].DeliveryCount = 3
		}
		o.add(failed)
		o.settle(o.take(), rejected)
		o.calledAt = time.Now()
		assert.Nil(t, o.next(time.Now()))
		assert.Equal(t, 20*time.Millisecond, o.nextCall())
		<-time.After(o.nextCall())
		r := o.next(time.Now())
		assert.Len(t, r.Returned, 500)
		assert.Equal(t, 500, r.Max)
	})
}

func TestMessagesThatWaitToBeReturnedAreReturnedAtTheEnd(t *testing.T) {
	o := newOutstanding(wsx.Limits{}, 1, false)
	failed := fetchedMessages(0, 1)
	failed[0].DeliveryCount = 30
	o.add(failed)
	o.settle(o.take(), rejected)
	requests, unsettled := o.final()
	assert.Equal(t, []wsx.FetchRequest{{Returned: []string{"0"}, Release: true}}, requests)
	assert.Zero(t, unsettled)
}

func TestWaitingMessagesAreForgottenWhenAnotherConsumerGetsThem(t *testing.T) {
	o := newOutstanding(wsx.Limits{}, 1, false)
	o.add(fetchedMessages(0, 500))
	o.take()
	o.add(fetchedMessages(500, 2))
	o.dropWaiting()
	assert.Empty(t, o.take())
	assert.Len(t, o.held, 500, "the pipeline has these")
	assert.Zero(t, o.add(fetchedMessages(500, 2)))
}
