package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine/ends"
)

const (
	// troubleGrace is how long something must fail until it is worth a line: brokers that start, leaders and
	// coordinators that move make errors for a second or two.
	troubleGrace = 2 * time.Second
	// firstJoin is how long joining for the first time may fail: a fresh broker makes the topic of offsets first, and says
	// "no coordinator" and "not coordinator" meanwhile. That we are not in the group is told all the same.
	firstJoin = 10 * time.Second
	// troubleOver is how long after its last failure a trouble counts as over, if nobody said so.
	troubleOver = time.Minute
)

// troubles says once that something fails, however often it is tried and by however many partitions, and once that it
// works again. What is between goes to level Debug.
type troubles struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[string]*trouble
}

type trouble struct {
	what        string
	since, last time.Time
	tries       int
	told        bool
}

// failed notes a failure of key. what is the line's text; the rest are attributes of a line.
func (t *troubles) failed(key, what string, err error, attrs ...any) {
	t.mu.Lock()
	now := time.Now()
	x := t.open[key]
	if x == nil || now.Sub(x.last) > troubleOver {
		x = &trouble{since: now}
		t.open[key] = x
	}
	x.what, x.last = what, now
	x.tries++
	level := slog.LevelDebug
	if !x.told && now.Sub(x.since) >= troubleGrace {
		x.told, level = true, slog.LevelWarn
	}
	attrs = append(append([]any{"what", what}, attrs...), "tries", x.tries, "since", x.since.UTC().Format(time.RFC3339), "error", err)
	t.mu.Unlock()
	t.log.Log(context.Background(), level, "kafka: something fails and is tried again and again", attrs...)
}

// over notes that key works.
func (t *troubles) over(key string) {
	t.mu.Lock()
	x := t.open[key]
	delete(t.open, key)
	t.mu.Unlock()
	if x == nil || !x.told {
		return
	}
	t.log.Info("kafka: works again", "what_failed", x.what, "key", key, "lasted", time.Since(x.since).Round(time.Millisecond), "tries", x.tries)
}

// contact is when the group's coordinator was heard last, and what kept it from being heard since.
type contact struct {
	mu    sync.Mutex
	heard time.Time
	err   error // since then; nil: none
}

// note takes in how a request to the coordinator went.
func (c *contact) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch verdictOf(err, classifyGroup) {
	case retry, relocate:
		c.err = err
	default:
		c.heard, c.err = time.Now(), nil
	}
}

// Ping implements ends.Prober: it says whether heartbeats are answered. It asks nobody, so it never waits.
func (g *Group) Ping(context.Context) error {
	g.mu.Lock()
	ended, stable, joining := g.err, g.stable, g.round == 0
	g.mu.Unlock()
	if ended != nil {
		return ended
	}
	g.contact.mu.Lock()
	heard, err := g.contact.heard, g.contact.err
	g.contact.mu.Unlock()
	silent := time.Since(heard).Round(100 * time.Millisecond)
	if joining && silent < firstJoin {
		return nil
	}
	const do = "see that the brokers run and are reached; nothing is lost, and nothing becomes durable until they answer"
	if err != nil {
		return &ends.FaultError{Fault: ends.FaultUnreachable, Do: do, Err: fmt.Errorf("the coordinator of group %s has not answered for %v: %w", g.cfg.ID, silent, err)}
	}
	may := 2*g.cfg.HeartbeatInterval + time.Second
	if !stable { // a join is answered when all members have joined
		may = g.cfg.RebalanceTimeout + g.c.cfg.RequestTimeout
	}
	if silent > may {
		return &ends.FaultError{Fault: ends.FaultSlow, Do: do, Err: fmt.Errorf("the coordinator of group %s has not answered for %v", g.cfg.ID, silent)}
	}
	return nil
}

// faultOf gives an error of a broker, or of reaching one, the name that the engine knows it by.
func faultOf(err error) error {
	var code kafkago.Error
	isCode := errors.As(err, &code)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, ErrClosed):
		return err
	case isCode && (code == kafkago.TopicAuthorizationFailed || code == kafkago.ClusterAuthorizationFailed || code == kafkago.SASLAuthenticationFailed):
		return &ends.FaultError{Fault: ends.FaultDenied, Do: "give the user the right to read and write the topic", Err: err}
	case isCode && verdictOf(err, classifyPartition) == refused:
		return &ends.FaultError{Fault: ends.FaultFailing, Do: "see what the broker says", Err: err}
	}
	return &ends.FaultError{Fault: ends.FaultUnreachable, Do: "see that the brokers run and are reached, and that the topic's partitions have leaders", Err: err}
}
