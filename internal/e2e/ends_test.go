package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/loadgen"
)

// kafkaClient is a client of the shared broker that ends with the test.
func (s *scene) kafkaClient() *kafka.Client {
	s.t.Helper()
	c, err := kafka.New(kafka.Config{
		Brokers: []string{shared.kafka.Addr()}, ClientID: "e2e-" + s.name, Produce: kafka.ProduceConfig{Compression: kafka.CompressionLZ4},
		// A batch that is sent again after a time-out may be there twice, and the broker is frozen for a while.
		RequestTimeout: 2 * time.Minute,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// producer sends loadgen's records; Run calls it from one goroutine. Partitions are those that loadgen computed as
// Kafka's own partitioner would.
type producer struct {
	topic    string
	to       *kafka.Producer
	encoders []*kafka.BatchEncoder // by partition
	next     []int64               // by partition: offset of the next record
}

// batchBytes is below the broker's limit and large enough to be fast.
const batchBytes = 256 << 10

func newProducer(t *testing.T, c *kafka.Client, topic string, partitions int32) *producer {
	t.Helper()
	p := &producer{topic: topic, to: c.Producer(), next: make([]int64, partitions)}
	for range partitions {
		e, err := kafka.NewBatchEncoder(kafka.CompressionLZ4)
		if err != nil {
			t.Fatal(err)
		}
		p.encoders = append(p.encoders, e)
	}
	return p
}

// Append implements loadgen.Producer.
func (p *producer) Append(ctx context.Context, r *loadgen.Record) error {
	e := p.encoders[r.Partition]
	e.Append(r.Key, r.Value, r.TimestampMs, "")
	if e.Size() < batchBytes {
		return nil
	}
	return p.send(ctx, r.Partition)
}

// Flush implements loadgen.Producer.
func (p *producer) Flush(ctx context.Context) error {
	for i, e := range p.encoders {
		if e.Count() > 0 {
			if err := p.send(ctx, int32(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// send checks the offset that the batch got, too: a batch that was sent twice would make the truth wrong.
func (p *producer) send(ctx context.Context, partition int32) error {
	e := p.encoders[partition]
	set, err := e.Finish()
	if err != nil {
		return err
	}
	at, err := p.to.ProduceBatch(ctx, p.topic, partition, set)
	if err != nil {
		return err
	}
	if at != p.next[partition] {
		return fmt.Errorf("batch of %s/%d got offset %d, want %d", p.topic, partition, at, p.next[partition])
	}
	p.next[partition] += int64(e.Count())
	e.Reset()
	return nil
}

// systemClock implements loadgen.Clock.
type systemClock struct{}

// Now implements loadgen.Clock.
func (systemClock) Now() time.Time { return time.Now() }

// After implements loadgen.Clock.
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// rejects are the messages of the scene's rejects topic, as text.
func (s *scene) rejects(c *kafka.Client) []string {
	s.t.Helper()
	var list []string
	_, err := c.ReadLog(s.ctx, s.rejectsTopic(), 0, 0, func(r engine.Record) error {
		list = append(list, fmt.Sprintf("%q: %q", r.Key, r.Value))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// openStore is the store as the product's own package sees it.
func (s *scene) openStore() *clickhouse.Store {
	s.t.Helper()
	store, err := clickhouse.Open(s.ctx, clickhouse.Config{Addrs: []string{shared.storeAddr}, Password: secret.New(shared.password), Database: s.name})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = store.Close() })
	return store
}

// sqlEnd is a ClickHouse interface and who asks there.
type sqlEnd struct {
	addr, database, user, password string
	tls                            *tls.Config // nil: plain text
}

// sql is the scene's database in the shared store, for the user that may do everything.
func (s *scene) sql() sqlEnd {
	return sqlEnd{shared.storeAddr, s.name, "default", shared.password, nil}
}

// reader is the same for the user that may only read.
func (s *scene) reader() sqlEnd {
	return sqlEnd{shared.storeAddr, s.name, "reader", shared.readerPassword, nil}
}

// driver is the store as any program sees it: clickhouse-go over HTTP, with the settings of its own manual.
func (q sqlEnd) driver(t *testing.T) driver.Conn {
	t.Helper()
	conn, err := ch.Open(&ch.Options{
		Protocol: ch.HTTP, Addr: []string{q.addr}, Auth: ch.Auth{Database: q.database, Username: q.user, Password: q.password},
		Compression: &ch.Compression{Method: ch.CompressionLZ4},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// curl asks as `curl -u user:password --data-binary QUERY 'http://.../?database=...'` does.
func (q sqlEnd) curl(ctx context.Context, query string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	scheme, client := "http://", http.DefaultClient
	if q.tls != nil {
		tr := &http.Transport{TLSClientConfig: q.tls}
		defer tr.CloseIdleConnections()
		scheme, client = "https://", &http.Client{Transport: tr}
	}
	to := scheme + q.addr + "/?" + url.Values{"database": {q.database}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(query))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(q.user, q.password)
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %s: %s", res.Status, b)
	}
	return strings.TrimRight(string(b), "\n"), err
}

// ask is curl of a statement that has to work.
func (q sqlEnd) ask(t *testing.T, query string) string {
	t.Helper()
	out, err := q.curl(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

// ask asks the scene's database.
func (s *scene) ask(query string) string {
	s.t.Helper()
	return s.sql().ask(s.t, query)
}
