package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/rejects"
	"github.com/wattline/wattline/loadgen"
)

// Names and settings of a world. Short time-outs: what takes long in the field shall happen often here.
const (
	readingsTopic = "chaos.readings"
	rejectsTopic  = "chaos.rejects"
	cdrsTopic     = "chaos.cdrs"
	pricesTopic   = "chaos.prices"
	group         = "chaos"
	database      = "chaos"
	partitions    = 8

	sessionTimeout = 6 * time.Second // of Kafka's group: how long a frozen engine keeps its partitions
	stopLimit      = 8 * time.Second // of an orderly stop: the program promises 4.5 s
)

// world is the processes of one run: brokers, the store, engines, the load.
type world struct {
	cfg     *Config
	log     *journal
	dir     string
	shim    string
	network *loadgen.Network
	untilMs int64

	net     *network
	brokers []*broker
	store   *unit
	engines []*unit
	load    *unit

	storePort    int
	passwordFile string
	password     string
	storeDisk    *disk
}

// unit is a process that is killed and started again under one name.
type unit struct {
	name string
	log  string // file
	args []string
	env  []string
	w    *world
	api  string // of an engine
	disk *disk  // of the store

	fault sync.Mutex // X2: held by the fault that it suffers

	mu     sync.Mutex
	proc   *process
	wanted bool // it should run: an end is news

	finishes bool  // but an end without an error is none
	refused  int64 // calls that its disk had refused when it started
}

// broker is an Apache Kafka broker and its disk.
type broker struct {
	name  string
	cfg   parts.KafkaConfig
	disk  *disk
	fault sync.Mutex

	mu    sync.Mutex
	kafka *parts.Kafka
}

func (w *world) direct() string {
	var list []string
	for _, b := range w.brokers {
		list = append(list, loopback(b.cfg.Cluster.Ports[b.cfg.Node-1]))
	}
	return strings.Join(list, ", ")
}

// newWorld lays out folders, ports and configurations of a world; nothing runs yet.
func newWorld(cfg *Config, log *journal, dir, shim string, brokers int) (w *world, err error) {
	w = &world{cfg: cfg, log: log, dir: dir, shim: shim, net: newNetwork()}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	city := loadgen.City()
	city.Seed, city.ChargePoints, city.Partitions = cfg.Seed, cfg.ChargePoints, partitions
	city.EndMs = city.EpochMs + cfg.Duration.Milliseconds()*cfg.Speed/city.TickMs*city.TickMs
	w.untilMs = city.EndMs + city.TickMs
	if w.network, err = loadgen.New(city); err != nil {
		return nil, err
	}
	if err := w.layBrokers(brokers); err != nil {
		return nil, err
	}
	if err := w.layStore(); err != nil {
		return nil, err
	}
	for i := range cfg.Engines {
		if err := w.layEngine(string(rune('a' + i))); err != nil {
			return nil, err
		}
	}
	if _, err := rejects.NewKey(w.rejectsKey(), w.rejectsKey()+".pub", time.Now()); err != nil {
		return nil, err
	}
	return w, w.layTools()
}

// layBrokers gives each broker a way in for the engines, through a proxy.
func (w *world) layBrokers(n int) error {
	cluster, err := parts.PlanKafkaCluster(n)
	if err != nil {
		return err
	}
	ports, err := parts.FreePorts(2 * n)
	if err != nil {
		return err
	}
	for i := range n {
		name := fmt.Sprintf("broker%d", i+1)
		dir := filepath.Join(w.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		d, err := newDisk(w.shim, filepath.Join(dir, "data"), filepath.Join(w.dir, name+".disk"))
		if err != nil {
			return err
		}
		if _, err := w.net.add("engines-"+name, ports[2*i], ports[2*i+1]); err != nil {
			return err
		}
		w.brokers = append(w.brokers, &broker{name: name, disk: d, cfg: parts.KafkaConfig{
			Dir: dir, HeapMiB: 512, Cluster: cluster, Node: i + 1, Env: append(d.env(), "JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"), StartTimeout: 2 * time.Minute,
			Listeners: []parts.Listener{{Name: "ENGINES", Protocol: "PLAINTEXT", Port: ports[2*i+1], AdvertisedPort: ports[2*i]}},
			// A killed broker is back once its old session is over.
			ExtraProperties: map[string]string{"broker.session.timeout.ms": "3000", "offsets.topic.num.partitions": "4"},
		}})
	}
	return nil
}

func (w *world) layStore() error {
	ports, err := parts.FreePorts(1)
	if err != nil {
		return err
	}
	w.storePort = ports[0]
	data := filepath.Join(w.dir, "store")
	if w.storeDisk, err = newDisk(w.shim, filepath.Join(data, "store", "engine"), filepath.Join(w.dir, "store.disk")); err != nil {
		return err
	}
	file := filepath.Join(w.dir, "store.yaml")
	text := fmt.Sprintf("data:\n  dir: %s\nclickhouse:\n  embedded_addr: %s\n  embedded_memory: 1GiB\n", data, loopback(w.storePort))
	w.passwordFile = filepath.Join(data, "store", "password")
	w.store = w.unit("store", w.storeDisk.env(), "store", "--config", file)
	w.store.disk = w.storeDisk
	return os.WriteFile(file, []byte(text), 0o644)
}

// unit describes a process of the program under test.
func (w *world) unit(name string, env []string, args ...string) *unit {
	return &unit{name: name, log: filepath.Join(w.dir, name+".log"), w: w, env: env, args: append([]string{w.cfg.Program}, args...)}
}

// layEngine writes the configuration of an engine, whose ways to Kafka and the store go through proxies.
func (w *world) layEngine(name string) error {
	ports, err := parts.FreePorts(1)
	if err != nil {
		return err
	}
	store, err := w.net.add("store-"+name, 0, w.storePort)
	if err != nil {
		return err
	}
	var brokers []string
	for _, b := range w.brokers {
		brokers = append(brokers, loopback(b.cfg.Listeners[0].AdvertisedPort))
	}
	file := filepath.Join(w.dir, name+".yaml")
	u := w.unit("engine-"+name, nil, "run", "--config", file)
	u.api = loopback(ports[0])
	w.engines = append(w.engines, u)
	more := ""
	if name > "a" {
		more = "  leave_on_stop: true\n" // its partitions move at every stop; those of the first wait for it
	}
	return os.WriteFile(file, []byte(w.config(name, strings.Join(brokers, ", "), store)+more+"http:\n  addr: "+u.api+"\n"), 0o644)
}

// rejectsKey is the file of the private key that opens rejects; its public part has .pub behind it.
func (w *world) rejectsKey() string { return filepath.Join(w.dir, "rejects.key") }

// layTools writes the configuration of commands: straight to Kafka and the store.
func (w *world) layTools() error {
	text := w.config("tools", w.direct(), loopback(w.storePort))
	return os.WriteFile(w.tools(), []byte(text), 0o644)
}

func (w *world) tools() string { return filepath.Join(w.dir, "tools.yaml") }

// config ends in its section kafka.
func (w *world) config(id, brokers, store string) string {
	return strings.Join([]string{
		"engine:", "  id: " + id, "  snapshot_replay: 100ms", "  block_age: " + w.cfg.blockAge.String(), "  block_age_max: 1s", "  blocks_per_second: 100",
		"  insert_backoff_max: 1s",
		"clickhouse:", "  addr: [" + store + "]", "  password_file: " + w.passwordFile, "  database: " + database,
		"  dial_timeout: 2s", "  insert_timeout: 10s", "  query_timeout: 10s",
		"data:", "  dir: " + filepath.Join(w.dir, "data-"+id),
		"log:", "  level: info",
		"rejects:", "  public_key_file: " + w.rejectsKey() + ".pub",
		"kafka:", "  brokers: [" + brokers + "]", "  group: " + group,
		fmt.Sprintf("  readings: ['%s:protobuf:%d']", readingsTopic, partitions),
		"  reference_topic: chaos.reference", "  state_topic: chaos.state", "  rejects_topic: " + rejectsTopic, "  cdrs_topic: " + cdrsTopic, "  prices_topic: " + pricesTopic,
		"  session_timeout: " + sessionTimeout.String(), "  heartbeat_interval: 500ms", "  rebalance_timeout: 5s", "  request_timeout: 5s",
	}, "\n") + "\n"
}

// begin starts everything: brokers side by side, then the store, the tables and tariffs, the engines.
func (w *world) begin(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.brokers))
	for i, b := range w.brokers {
		wg.Go(func() { errs[i] = b.start(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := w.store.start(); err != nil {
		return err
	}
	if err := w.awaitStore(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{{"migrate"}, {"reference", "load"}} {
		if err := w.prepare(ctx, args); err != nil {
			return err
		}
	}
	for _, e := range w.engines {
		if err := e.start(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) prepare(ctx context.Context, args []string) error {
	args = append(slices.Clone(args), "--config", w.tools())
	if args[0] == "reference" {
		dir := filepath.Join(w.dir, "reference")
		if err := w.network.WriteReference(dir); err != nil {
			return err
		}
		args = append(args, dir)
	}
	if code, out := w.command(ctx, args...); code != 0 {
		return fmt.Errorf("wattline %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return nil
}

// awaitStore waits until the store answers and its password can be read.
func (w *world) awaitStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		b, err := os.ReadFile(w.passwordFile)
		if err == nil {
			w.password, _, _ = strings.Cut(string(b), "\n")
			if _, err = w.ask(ctx, "SELECT 1"); err == nil {
				return nil
			}
		}
		select {
		case <-w.store.running().done:
			return fmt.Errorf("the store has ended:\n%s", tail(w.store.log, 20))
		case <-ctx.Done():
			return fmt.Errorf("the store does not answer: %w (%w)", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// end kills what still runs and takes the proxies down.
func (w *world) end() error {
	var errs []error
	for _, u := range append(slices.Clone(w.engines), w.load, w.store) {
		if u != nil {
			errs = append(errs, u.kill())
		}
	}
	for _, b := range w.brokers {
		errs = append(errs, b.kill(), b.disk.close())
	}
	if w.storeDisk != nil {
		errs = append(errs, w.storeDisk.close())
	}
	w.net.close()
	return errors.Join(errs...)
}
