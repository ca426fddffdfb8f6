package parts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/deploy"
)

// KafkaConfig says how a broker is started.
type KafkaConfig struct {
	Options

	// Dir holds everything of this broker: its log segments (data/), server.properties, broker.log.
	// Required. A folder that a broker used before goes on with its topics, and on its old port unless
	// another program took that.
	Dir string
	// Port on 127.0.0.1 that clients use. Default 0: the one that Dir had, else a free one.
	Port int
	// Cluster makes the broker one of several; Port is then the cluster's. Default: it is alone.
	Cluster *KafkaCluster
	// Node is its number in Cluster, from 1. Default 1.
	Node int
	// Env is added to the environment of the broker's process, each as NAME=value. Default: nothing is.
	Env []string
	// ExtraProperties are broker settings by Kafka's names; they win over deploy/kafka/server.properties.
	ExtraProperties map[string]string
	// Listeners are more ports beside the plain one, on 127.0.0.1. Default: none.
	Listeners []Listener
	// ScramUsers get credentials of SCRAM-SHA-256 and SCRAM-SHA-512 when Dir is new. Default: none.
	ScramUsers []User
	// HeapMiB is the broker's maximum heap in MiB. Default 1024.
	HeapMiB int
	// StartTimeout is how long the broker may take until it answers. Default 90 s (3 s on a quiet machine).
	StartTimeout time.Duration
}

// Kafka is a running Apache Kafka broker, a process of its own that dies with ours (P4).
// Its methods may be called from several goroutines.
type Kafka struct {
	addr  string
	ports map[string]int // of KafkaConfig.Listeners by name
	dir   string
	proc  *process
}

// startAttempts is how often another port is tried when one that was free is taken before the broker binds it.
const startAttempts = 3

// StartKafka gets Kafka if need be, starts one broker and returns when it answers requests. The broker ends
// by Stop, by Kill, or with this process; ctx only bounds the start. Errors carry the end of the broker's log.
// A start takes 3 to 8 s; in a folder whose broker was killed 4 s more, until the controller gives it up.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start kafka: KafkaConfig.Dir is empty")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start kafka in %s: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	if err := Ensure(ctx, cfg.Options, Java); err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	libs, err := KafkaLibs(ctx, cfg.Options)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	for attempt := 1; ; attempt++ {
		k, err := startBroker(ctx, cfg, libs)
		if err == nil {
			return k, nil
		}
		if attempt == startAttempts || cfg.Port != 0 || cfg.Cluster != nil || !strings.Contains(err.Error(), "Address already in use") {
			return nil, fmt.Errorf("start kafka in %s: %w", cfg.Dir, err)
		}
	}
}

// Addr is the bootstrap address, 127.0.0.1 and the port.
func (k *Kafka) Addr() string { return k.addr }

// ListenerAddr is the address of the listener of that name in KafkaConfig.Listeners.
func (k *Kafka) ListenerAddr(name string) string {
	port, ok := k.ports[name]
	if !ok {
		return ""
	}
	return "127.0.0.1:" + strconv.Itoa(port)
}

// Pid is the broker's process id.
func (k *Kafka) Pid() int { return k.proc.pid }

// LogPath is the file with the broker's log, appended to by each start in the same Dir.
func (k *Kafka) LogPath() string { return brokerLog(k.dir) }

// Done is closed when the broker's process has ended, by whatever cause.
func (k *Kafka) Done() <-chan struct{} { return k.proc.done }

// Kill ends the broker with SIGKILL, as a crash would, and waits until it is gone. Killing twice is no error.
func (k *Kafka) Kill() error {
	if err := k.proc.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill kafka: %w", err)
	}
	<-k.proc.done
	return nil
}

// Stop ends the broker in order and waits until it is gone. When ctx ends first the broker is killed and the
// error says so. Stopping twice is no error.
func (k *Kafka) Stop(ctx context.Context) error {
	if err := k.proc.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop kafka: %w", err)
	}
	select {
	case <-k.proc.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop kafka: %w; killed", ctx.Err()), k.Kill())
	}
}

func startBroker(ctx context.Context, cfg KafkaConfig, libs string) (*Kafka, error) {
	client, controller, err := choosePorts(cfg)
	if err != nil {
		return nil, err
	}
	ports, err := choosePortsOf(cfg.Listeners, client, controller)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(cfg.Dir, "server.properties")
	// There may be passwords in it.
	if err := os.WriteFile(conf, []byte(brokerProperties(cfg, client, controller, ports)), 0o600); err != nil {
		return nil, err
	}
	if err := formatStorage(ctx, cfg, libs, conf); err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(brokerLog(cfg.Dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	start, err := logFile.Stat()
	if err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	proc, err := startProcess(cfg.Dir, logFile, cfg.Env, "java",
		"-Xmx"+strconv.Itoa(heapMiB(cfg))+"m",
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
		"-cp", filepath.Join(libs, "*"), "kafka.Kafka", conf)
	// The child has the file of its own.
	if err := errors.Join(err, logFile.Close()); err != nil {
		return nil, err
	}
	k := &Kafka{addr: "127.0.0.1:" + strconv.Itoa(client), ports: ports, dir: cfg.Dir, proc: proc}
	if err := k.waitReady(ctx, cfg.StartTimeout); err != nil {
		err = errors.Join(err, k.Kill())
		return nil, fmt.Errorf("%w; the end of %s:\n%s", err, k.LogPath(), logTail(k.LogPath(), start.Size()))
	}
	return k, nil
}

func brokerLog(dir string) string { return filepath.Join(dir, "broker.log") }

func heapMiB(cfg KafkaConfig) int {
	if cfg.HeapMiB == 0 {
		return 1024
	}
	return cfg.HeapMiB
}

// brokerProperties is the fixed part, then what this start needs, then what the caller wants: in a
// properties file the last one wins.
func brokerProperties(cfg KafkaConfig, client, controller int, ports map[string]int) string {
	var b strings.Builder
	b.WriteString(deploy.KafkaProperties)
	b.WriteString("\n# Of this start.\n")
	b.WriteString(listenerProperties(cfg, client, controller, ports))
	if cfg.Cluster == nil {
		fmt.Fprintf(&b, "controller.quorum.voters=1@127.0.0.1:%d\n", controller)
	} else {
		cfg.Cluster.write(&b, node(cfg))
	}
	fmt.Fprintf(&b, "log.dirs=%s\n", filepath.Join(cfg.Dir, "data"))
	for _, key := range slices.Sorted(maps.Keys(cfg.ExtraProperties)) {
		fmt.Fprintf(&b, "%s=%s\n", key, cfg.ExtraProperties[key])
	}
	return b.String()
}

// formatStorage gives a new data folder its cluster id, once in the folder's life.
func formatStorage(ctx context.Context, cfg KafkaConfig, libs, conf string) error {
	_, err := os.Stat(filepath.Join(cfg.Dir, "data", "meta.properties"))
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id := newClusterID()
	if cfg.Cluster != nil {
		id = cfg.Cluster.ID
	}
	args := []string{
		"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(libs, "*"), "kafka.tools.StorageTool", "format", "-t", id, "-c", conf,
	}
	return run(ctx, cfg.Dir, nil, "java", append(args, scramArguments(cfg.ScramUsers)...)...)
}

// waitReady asks the broker for its metadata until it names a controller: from then on topics can be made.
func (k *Kafka) waitReady(ctx context.Context, timeout time.Duration) error {
	if timeout == 0 {
		timeout = 90 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		if last = askBroker(ctx, k.addr); last == nil {
			return nil
		}
		select {
		case <-k.proc.done:
			return fmt.Errorf("the broker ended while it started: %w", k.proc.err)
		case <-ctx.Done():
			return fmt.Errorf("the broker does not answer on %s: %w (%w)", k.addr, ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func askBroker(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	controller, err := conn.Controller()
	if err != nil {
		return err
	}
	if controller.Port == 0 {
		return errors.New("no controller yet")
	}
	return nil
}

// logTail reads the last lines that were written to the file from the given offset on.
func logTail(path string, from int64) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "  (" + err.Error() + ")"
	}
	tail := newTail(20)
	for s := range strings.Lines(string(b[min(from, int64(len(b))):])) {
		tail.add(strings.TrimRight(s, "\n"))
	}
	return tail.String()
}
