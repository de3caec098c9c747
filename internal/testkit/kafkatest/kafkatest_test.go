package kafkatest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBothBrokersKeepRecordsAndOffsetsAcrossARestart(t *testing.T) {
	for _, choice := range []string{"", "kfake"} {
		t.Run(choice, func(t *testing.T) {
			t.Setenv(kafkatest.EnvVariable, choice)
			broker := kafkatest.Start(t)
			broker.CreateTopics(2, "t")
			producer := broker.Client(kgo.DefaultProduceTopic("t"))
			produce := func(value string) {
				require.NoError(t, producer.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr())
			}
			produce("before")

			consumer := broker.Client(kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			consume := func() string {
				ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
				defer cancel()
				for {
					fetches := consumer.PollRecords(ctx, 1) // may return no records, or a lost connection
					require.NoError(t, ctx.Err())
					if fetches.NumRecords() == 1 {
						require.NoError(t, consumer.CommitRecords(ctx, fetches.Records()...))
						return string(fetches.Records()[0].Value)
					}
				}
			}
			assert.Equal(t, "before", consume())

			broker.Stop()
			broker.Restart()
			assert.Equal(t, int64(1), broker.Committed("g", "t"))
			produce("after")
			assert.Equal(t, "after", consume())
		})
	}
}
