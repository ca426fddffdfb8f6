package kafka

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wattline/wattline/connectors/conntest"
	"github.com/wattline/wattline/engine"
)

// rigOver makes a rig over the broker at addrs.
func rigOver(t testing.TB, addrs []string, topic string, partitions int32) conntest.Rig {
	t.Helper()
	newClient := func(t testing.TB, instance string) *Client {
		t.Helper()
		c, err := New(Config{
			Brokers: addrs, BackoffMax: 100 * time.Millisecond, Fetch: FetchConfig{MaxWait: 20 * time.Millisecond, MaxBytesPerPartition: 20_000},
			Group: GroupConfig{
				ID: "group-" + topic, InstanceID: instance, Topics: []string{topic},
				SessionTimeout: 6 * time.Second, HeartbeatInterval: 30 * time.Millisecond, RebalanceTimeout: 500 * time.Millisecond,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.pool.mangle = true
		return c
	}
	maker := newClient(t, "maker")
	t.Cleanup(func() { _ = maker.Close() })
	if _, err := maker.EnsureTopics(testContext(t), []TopicSpec{ReadingsTopic(topic, partitions)}); err != nil {
		t.Fatal(err)
	}
	return conntest.Rig{
		Topic: topic, Partitions: partitions,
		Produce: func(t testing.TB, partition int32, msgs []engine.Message) {
			if _, err := maker.Producer().Produce(testContext(t), topic, partition, msgs); err != nil {
				t.Error(err)
			}
		},
		Member: func(t testing.TB, instance string) conntest.End {
			c := newClient(t, instance)
			g, err := c.Join(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			return conntest.End{Source: g, Committer: g, Close: func() { _ = g.Close(); _ = c.Close() }}
		},
	}
}

func TestConformance(t *testing.T) {
	conntest.SourceSuite(t, func(t *testing.T) conntest.Rig {
		fake, _ := startFake(t, nil, kfake.NumBrokers(3))
		return rigOver(t, fake.ListenAddrs(), readings, 4)
	})
}

// TestConformanceUnderMoves runs the suite while leaders and coordinators move all the time.
func TestConformanceUnderMoves(t *testing.T) {
	conntest.SourceSuite(t, func(t *testing.T) conntest.Rig {
		fake, _ := startFake(t, nil, kfake.NumBrokers(3))
		rig := rigOver(t, fake.ListenAddrs(), readings, 4)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for sleep(ctx, time.Duration(20+rand.IntN(80))*time.Millisecond) == nil {
				fake.ShufflePartitionLeaders()
				if rand.IntN(4) == 0 {
					fake.RehashCoordinators()
				}
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
		return rig
	})
}

func (a apache) conformance(t *testing.T) {
	var n atomic.Int32
	conntest.SourceSuite(t, func(t *testing.T) conntest.Rig {
		return rigOver(t, []string{a.addr}, "conformance-"+strconv.Itoa(int(n.Add(1))), 4)
	})
}
