package kafka

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/parts"
)

// benchFetch preloads n records of about 90 bytes into 8 partitions and measures fetching and reading all of them.
// cpu-ns/record is user and system time of this process, which kfake shares and Apache Kafka does not.
func benchFetch(b *testing.B, addrs []string, codec Compression) {
	const partitions, n = 8, 1_600_000
	c, err := New(Config{Brokers: addrs, Produce: ProduceConfig{Compression: codec}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	topic := "bench-" + codec.String()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := c.EnsureTopics(ctx, []TopicSpec{ReadingsTopic(topic, partitions)}); err != nil {
		b.Fatal(err)
	}
	e, err := NewBatchEncoder(codec)
	if err != nil {
		b.Fatal(err)
	}
	p := c.Producer()
	if _, end, err := c.offsetsOf(ctx, engine.Partition{Topic: topic}, false); err != nil || end > 0 {
		b.Log("topic is there already:", end, err)
	} else {
		at := time.Now()
		for i := 0; i < n; {
			e.Reset()
			for ; e.Count() < 8000 && i < n; i++ {
				e.Append(fmt.Appendf(nil, "DE*WAT*E%06d*1", i%5000), fmt.Appendf(nil, "%064x", uint64(i)*0x9E3779B97F4A7C15), 1_700_000_000_000+int64(i), "")
			}
			set, err := e.Finish()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.ProduceBatch(ctx, topic, int32(i/8000%partitions), set); err != nil {
				b.Fatal(err)
			}
		}
		b.Logf("produced %.2f M records/s", n/time.Since(at).Seconds()/1e6)
	}
	dst := make([]engine.Record, 1024)
	cpu := cpuTime(b)
	for b.Loop() {
		f := c.newFetcher(map[string]int{topic: partitions}, func(error) {})
		done := make(chan int, partitions)
		for i := range int32(partitions) {
			fd, err := f.open(engine.Partition{Topic: topic, Number: i}, 0)
			if err != nil {
				b.Fatal(err)
			}
			go func() {
				got := 0
				defer func() { done <- got }()
				dst := make([]engine.Record, len(dst))
				for got < n/partitions {
					batch, ok := <-fd.Batches()
					if !ok {
						b.Error(fd.Err())
						return
					}
					for {
						k, err := batch.Read(dst)
						if err != nil {
							b.Error(err)
							return
						}
						if k == 0 {
							break
						}
						got += k
					}
					batch.Release()
				}
			}()
		}
		total := 0
		for range partitions {
			total += <-done
		}
		f.close()
		if total != n {
			b.Fatalf("%d of %d records", total, n)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mrec/s")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/n, "cpu-ns/record")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkFetchFake(b *testing.B) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer fake.Close()
	for _, codec := range []Compression{CompressionNone, CompressionLZ4} {
		b.Run(codec.String(), func(b *testing.B) { benchFetch(b, fake.ListenAddrs(), codec) })
	}
}

func BenchmarkFetchApacheKafka(b *testing.B) {
	k, err := parts.StartKafka(context.Background(), parts.KafkaConfig{Dir: b.TempDir(), HeapMiB: 1024})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = k.Stop(context.Background()) }()
	for _, codec := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		b.Run(codec.String(), func(b *testing.B) { benchFetch(b, []string{k.Addr()}, codec) })
	}
}
