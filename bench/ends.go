package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/internal/parts"
)

// stage is the real ends of a measurement while it runs.
type stage struct {
	ends   *Ends
	dir    string // "" when nothing was started
	id     string // in the names of topics and databases
	broker *parts.Kafka
	store  *child
	kafka  string
	ch     chAddr
	// storeVersion and kafkaVersion are for the report.
	storeVersion, kafkaVersion string
	topics                     []string // made
	databases                  []string // made
}

// newStage starts what is not given. kafka says whether a broker is needed. The caller closes it.
func newStage(ctx context.Context, e *Ends, needKafka bool) (s *stage, err error) {
	var id [4]byte
	rand.Read(id[:]) // never fails
	s = &stage{ends: e, id: hex.EncodeToString(id[:]), kafka: e.Kafka}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			s = nil
		}
	}()
	if s.dir, err = e.workDir(); err != nil {
		return s, err
	}
	if needKafka && e.Kafka == "" {
		e.note("starting Apache Kafka")
		if s.broker, err = parts.StartKafka(ctx, parts.KafkaConfig{Options: e.Parts, Dir: filepath.Join(s.dir, "kafka")}); err != nil {
			return s, err
		}
		s.kafka = s.broker.Addr()
		s.kafkaVersion = "Apache Kafka from deploy/kafka, one broker"
	}
	return s, s.startStore(ctx)
}

func (s *stage) startStore(ctx context.Context) error {
	e := s.ends
	if e.ClickHouse != "" {
		s.ch = chAddr{Addr: e.ClickHouse, User: e.ClickHouseUser, Password: e.ClickHousePassword}
		conn, err := s.ch.connect()
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.QueryRow(ctx, "SELECT version()").Scan(&s.storeVersion); err != nil {
			return fmt.Errorf("ask ClickHouse %s for its version: %w", e.ClickHouse, err)
		}
		return nil
	}
	library, err := parts.Libchdb(ctx, e.Parts)
	if err != nil {
		return err
	}
	e.note("starting the ClickHouse engine in a process of its own")
	if s.store, err = startChild(context.WithoutCancel(ctx), e.Self, roleStore, storeSpec{Library: library, Dir: filepath.Join(s.dir, "store")}); err != nil {
		return err
	}
	var ready storeReady
	if err := s.store.next(&ready); err != nil {
		s.store = nil
		return err
	}
	if err := setNice(s.store.pid(), e.StoreNice); err != nil {
		return err
	}
	s.ch = chAddr{Addr: ready.Addr, User: "default", Password: ready.Password}
	s.storeVersion = ready.Version
	return nil
}

// database is the name of database number i of the measurement.
func (s *stage) database(i int) string {
	name := fmt.Sprintf("wattline_bench_%s_%d", s.id, i)
	s.databases = append(s.databases, name)
	return name
}

// topic is the name of a topic of the measurement.
func (s *stage) topic(what string) string {
	name := "wattline.bench." + s.id + "." + what
	s.topics = append(s.topics, name)
	return name
}

// close ends what was started and removes what was made, unless Keep.
func (s *stage) close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also after a Ctrl-C
	defer cancel()
	if !s.ends.Keep {
		errs = append(errs, s.drop(ctx))
	}
	if s.store != nil {
		errs = append(errs, s.store.stop())
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Stop(ctx))
	}
	if s.dir == "" {
		return errors.Join(errs...)
	}
	if s.ends.Keep {
		s.ends.note("kept " + s.dir + ", topics " + strings.Join(s.topics, ", ") + ", databases " + strings.Join(s.databases, ", "))
	} else if err := os.RemoveAll(s.dir); err != nil {
		errs = append(errs, fmt.Errorf("remove the measurement's data: %w", err))
	}
	return errors.Join(errs...)
}

// drop removes topics and databases from ends that were there before (N3).
func (s *stage) drop(ctx context.Context) error {
	var errs []error
	if s.broker == nil && len(s.topics) > 0 {
		errs = append(errs, s.deleteTopics(ctx))
	}
	if s.store == nil && len(s.databases) > 0 {
		errs = append(errs, s.dropDatabases(ctx))
	}
	return errors.Join(errs...)
}

func (s *stage) deleteTopics(ctx context.Context) error {
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	c := kafkago.Client{Addr: kafkago.TCP(s.kafka), Transport: transport}
	res, err := c.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: s.topics})
	if err != nil {
		return fmt.Errorf("delete the measurement's topics: %w", err)
	}
	var errs []error
	for topic, err := range res.Errors {
		if err != nil && !errors.Is(err, kafkago.UnknownTopicOrPartition) { // a run that failed early made not all of them
			errs = append(errs, fmt.Errorf("delete topic %s: %w", topic, err))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) dropDatabases(ctx context.Context) error {
	conn, err := s.ch.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, db := range s.databases {
		if err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+db); err != nil {
			return fmt.Errorf("drop database %s: %w", db, err)
		}
	}
	return nil
}

// cpu is what broker and store have used so far; -1 for one that is not ours.
func (s *stage) cpu() (broker, store time.Duration) {
	broker, store = -1, -1
	if s.broker != nil {
		if d, ok := processCPU(s.broker.Pid()); ok {
			broker = d
		}
	}
	if s.store != nil {
		if d, ok := processCPU(s.store.pid()); ok {
			store = d
		}
	}
	return broker, store
}

// note tells people about a step.
func (e *Ends) note(text string) {
	if e.Parts.Progress != nil {
		e.Parts.Progress(parts.Event{Part: "bench", Doing: text})
	}
}
