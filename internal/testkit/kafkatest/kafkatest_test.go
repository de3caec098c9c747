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

func TestEitherBrokerKeepsRecordsAndOffsetsOverARestart(t *testing.T) {
	for _, choice := range []string{"", "kfake"} {
		t.Run(choice, func(t *testing.T) {
			t.Setenv(kafkatest.EnvVariable, choice)
			broker := kafkatest.Start(t)
			broker.CreateTopics(2, "t")
			writer := broker.Client(kgo.DefaultProduceTopic("t"))
			written := func(value string) {
				require.NoError(t, writer.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr())
			}
			written("before")

			reader := broker.Client(kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			read := func() string {
				ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
				defer cancel()
				for {
					fetches := reader.PollRecords(ctx, 1) // it may come back with nothing, or with a connection lost
					require.NoError(t, ctx.Err())
					if fetches.NumRecords() == 1 {
						require.NoError(t, reader.CommitRecords(ctx, fetches.Records()...))
						return string(fetches.Records()[0].Value)
					}
				}
			}
			assert.Equal(t, "before", read())

			broker.Stop()
			broker.Restart()
			assert.Equal(t, int64(1), broker.Committed("g", "t"))
			written("after")
			assert.Equal(t, "after", read())
		})
	}
}
