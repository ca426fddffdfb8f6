package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says how the broker runs.
type Config struct {
	// Dir keeps topics, offsets and groups. Needed; made if it is not there.
	Dir string
	// Port on 127.0.0.1; if it is taken the next free one of the hundred after it. Default: 9092.
	Port int
	// SyncWrites has every batch on the disk before it is acknowledged, so that a power cut loses none. Default: false.
	// Halves the speed of producing.
	SyncWrites bool
	// Logger hears of the broker's warnings and errors. Default: nobody does.
	Logger *slog.Logger
}

const (
	defaultPort = 9092
	portTries   = 100
	// maxMessage is the largest record batch taken: chunks of snapshots are larger than Kafka's default of 1 MB.
	maxMessage = 16_000_000
)

// Validate says every fault of c with the name of its field.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("embedded.Dir: no folder given"))
	}
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("embedded.Port: %d is not within 0..65535", c.Port))
	}
	return errors.Join(errs...)
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	lock    int // file descriptor
	addr    string
	port    int
	closing sync.Once
}

// Start opens the data in cfg.Dir and listens. It goes on with what a broker before it left, killed or closed.
func Start(cfg Config) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Port == 0 {
		cfg.Port = defaultPort
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start embedded kafka in %s: %w", cfg.Dir, err)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(cfg.Port),
		kfake.ListenFn(listenFrom),
		kfake.DataDir(filepath.Join(cfg.Dir, "data")),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": strconv.Itoa(maxMessage)}),
		kfake.WithLogger(logger{cfg.Logger}),
	}
	if cfg.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded kafka in %s: %w", cfg.Dir, err), syscall.Close(lock))
	}
	return &Broker{cluster: cluster, lock: lock, addr: cluster.ListenAddrs()[0], port: cfg.Port}, nil
}

// Addr returns host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// Moved says whether the port asked for was taken, so that Addr has another.
func (b *Broker) Moved() bool { return !strings.HasSuffix(b.addr, ":"+strconv.Itoa(b.port)) }

// Close writes everything down and stops. Close the clients first: a request in flight is cut. A second call does
// nothing.
func (b *Broker) Close() (err error) {
	b.closing.Do(func() {
		b.cluster.Close()
		if err = syscall.Close(b.lock); err != nil {
			err = fmt.Errorf("unlock the folder of embedded kafka: %w", err)
		}
	})
	return err
}

// listenFrom listens on address or, while that is taken, on the ports after it.
func listenFrom(network, address string) (net.Listener, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	first, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	for port := first; ; port++ {
		l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || port == first+portTries || port == 65535 {
			return nil, fmt.Errorf("listen on a port from %d on: %w", first, err)
		}
	}
}

// lockDir makes sure that no other process uses dir (E1). The lock goes with the process, also when it is killed. It is
// a bare descriptor: the garbage collector would close an os.File that only a forgotten Broker holds.
func lockDir(dir string) (int, error) {
	path := filepath.Join(dir, "lock")
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return fd, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another process uses this folder: stop it, or choose another folder")
	}
	return 0, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, syscall.Close(fd))
}

// logger passes kfake's warnings and errors on.
type logger struct{ to *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if l.to == nil {
		return
	}
	switch level {
	case kfake.LogLevelError:
		l.to.Error("embedded kafka", "says", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.to.Warn("embedded kafka", "says", fmt.Sprintf(format, args...))
	}
}
