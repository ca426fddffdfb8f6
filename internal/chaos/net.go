package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// network is the proxies between the engines and what they talk to.
type network struct {
	server  *toxiproxy.ApiServer // never listens: the proxies only want to belong to one
	proxies []*link
}

// link is one way that can be made bad.
type link struct {
	name  string
	proxy *toxiproxy.Proxy
	fault sync.Mutex // held by the fault that it suffers
	n     int        // toxics so far: each has a name of its own
}

func newNetwork() *network {
	return &network{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())}
}

// add starts a proxy from port (0: any) to a port, all on loopback, and returns its address.
func (n *network) add(name string, port, to int) (string, error) {
	p := toxiproxy.NewProxy(n.server, name, loopback(port), loopback(to))
	if err := p.Start(); err != nil {
		return "", fmt.Errorf("start the proxy %s: %w", name, err)
	}
	n.proxies = append(n.proxies, &link{name: name, proxy: p})
	return p.Listen, nil
}

func (n *network) close() {
	for _, l := range n.proxies {
		l.proxy.Stop()
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// toxic is a fault of a link. A kind without a toxic of its own closes the door: new connections are refused, those
// that are open are closed.
type toxic struct {
	name       string
	kind       string
	stream     string // upstream: what engines send; downstream: what they get
	attributes map[string]int64
	cuts       bool // no connection survives it
}

// suffer makes the link bad until the time is over or ctx ends.
func (l *link) suffer(ctx context.Context, t toxic, d time.Duration) error {
	if t.kind == "" {
		l.proxy.Stop()
		pause(ctx, d)
		return l.proxy.Start()
	}
	l.n++
	name := t.kind + strconv.Itoa(l.n)
	text, err := json.Marshal(map[string]any{"name": name, "type": t.kind, "stream": t.stream, "toxicity": 1, "attributes": t.attributes})
	if err != nil {
		return err
	}
	if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("%s on %s: %w", t.kind, l.name, err)
	}
	pause(ctx, d)
	return l.heal(ctx, name, t.cuts)
}

// heal takes a toxic away. Where connections do not survive it anyway they are closed first; and where one is stuck in
// it, which would hold up the removal.
func (l *link) heal(ctx context.Context, name string, cut bool) error {
	again := func() error { return nil }
	if cut {
		l.proxy.Stop()
		again = l.proxy.Start
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	gone := make(chan error, 1)
	go func() { gone <- l.proxy.Toxics.RemoveToxic(within, name) }()
	select {
	case err := <-gone:
		return errors.Join(err, again())
	case <-time.After(2 * time.Second):
	}
	if !cut {
		l.proxy.Stop()
		again = l.proxy.Start
	}
	select {
	case err := <-gone:
		return errors.Join(err, again())
	case <-within.Done():
		return fmt.Errorf("toxiproxy does not take %s off %s", name, l.name)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
