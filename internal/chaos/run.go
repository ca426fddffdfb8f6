package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Run lives through the worlds of cfg, one after the other, and says what it did. ok says that nothing was found: every
// session, row and rollup is what it would be without a fault. An error means that the run itself did not come to its
// end. It removes the folder of each world in which nothing was found.
func Run(ctx context.Context, cfg Config) (ok bool, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return false, err
	}
	shim, err := buildShim(ctx, cfg.Dir)
	if err != nil {
		return false, err
	}
	ok = true
	log := newJournal(cfg.Out)
	log.say("seed %d: %d world(s) of %v each, a fault about every %v", cfg.Seed, len(cfg.Brokers), cfg.Duration, cfg.Every)
	for i, brokers := range cfg.Brokers {
		dir := filepath.Join(cfg.Dir, fmt.Sprintf("world%d", i+1))
		j := newJournal(cfg.Out)
		j.began = log.began
		j.say("world %d of %d: %d broker(s), the store, %d engines, the load", i+1, len(cfg.Brokers), brokers, cfg.Engines)
		if err := runWorld(ctx, &cfg, j, dir, shim, brokers); err != nil {
			return false, fmt.Errorf("world %d: %w", i+1, err)
		}
		if len(j.failures()) > 0 {
			ok = false
			continue
		}
		if cfg.Keep {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// runWorld starts a world, lets the faults come, and judges.
func runWorld(ctx context.Context, cfg *Config, log *journal, dir, shim string, brokers int) (err error) {
	w, err := newWorld(cfg, log, dir, shim, brokers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	if err := w.begin(ctx); err != nil {
		return err
	}
	log.say("everything runs; logs are in %s", dir)
	if err := w.startLoad(); err != nil {
		return err
	}
	watching, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	p := newPoller(w)
	watchers.Go(func() { p.run(watching) })
	watchers.Go(func() { w.tell(watching, time.Now().Add(cfg.Duration)) })
	watchers.Go(func() { w.watchBrokers(watching) })

	faults, over := context.WithTimeout(ctx, cfg.Duration)
	defer over()
	w.storm(faults, newDeck(cfg.Seed, cfg.Every, brokers))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	log.say("the last fault is over; the rest of the load, then the proof")
	draining, late := context.WithTimeout(ctx, cfg.Drain)
	defer late()
	if err := w.drain(draining); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		log.fail("%v", err)
		w.tellLogs()
	}
	cancel()
	watchers.Wait()
	if err := w.prove(ctx); err != nil {
		return err
	}
	w.verdict(p)
	return nil
}

// tell says now and then how far everything is.
func (w *world) tell(ctx context.Context, until time.Time) {
	for {
		pause(ctx, 15*time.Second)
		if ctx.Err() != nil {
			return
		}
		within, cancel := context.WithTimeout(ctx, 3*time.Second)
		durable, err := w.ask(within, "SELECT sum(readings) FROM blocks")
		cancel()
		if err != nil {
			durable = "? (the store does not answer)"
		}
		kills, _ := w.log.counts()
		left := max(0, time.Until(until)).Round(time.Second)
		w.log.say("    %d kills so far, %s readings durable, load: %s; %v of faults left", kills, durable, tail(w.load.log, 1), left)
	}
}

// watchBrokers starts a broker again that ended though it suffered nothing.
func (w *world) watchBrokers(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, time.Second)
		for _, b := range w.brokers {
			if !b.fault.TryLock() {
				continue
			}
			if b.ended() && ctx.Err() == nil {
				w.log.other("broker ended by itself", "%s has ended by itself and is started again", b.name)
				if err := w.brokerBack(ctx, b); err != nil {
					w.log.fail("%v", err)
				}
			}
			b.fault.Unlock()
		}
	}
}

// drain waits until all of the load is in the ledger, then stops the engines in order.
func (w *world) drain(ctx context.Context) error {
	if err := w.finishLoad(ctx); err != nil {
		return err
	}
	ends, err := w.logEnds(ctx)
	if err != nil {
		return err
	}
	state := ""
	for {
		missing := 0
		if state, missing, err = w.behind(ctx, ends); err == nil && missing == 0 {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("not everything came into the ledger within %v (%w): %s", w.cfg.Drain, err, state)
		}
		pause(ctx, 300*time.Millisecond)
	}
	w.log.say("all %d messages are in blocks", sum(ends))
	for _, u := range w.engines {
		began := time.Now()
		ok, err := u.stop(stopLimit)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s did not stop in order though nothing was away: %w; it said last:\n%s", u.name, u.running().err, tail(u.log, 10))
		}
		w.log.say("%s stopped in %.1f s", u.name, time.Since(began).Seconds())
	}
	return w.checkPlans(ctx, ends)
}

// behind says which partitions lack something in blocks.
func (w *world) behind(ctx context.Context, ends []int64) (state string, missing int, err error) {
	var b strings.Builder
	for i, end := range ends {
		got, err := w.ask(ctx, fmt.Sprintf("SELECT if(count() = 0, 0, max(block_last) + 1) FROM blocks WHERE partition = %d", i))
		if err != nil {
			return err.Error(), 1, err
		}
		if got != fmt.Sprint(end) {
			missing++
			fmt.Fprintf(&b, "partition %d is at %s of %d; ", i, got, end)
		}
	}
	return b.String(), missing, nil
}

func sum(list []int64) (n int64) {
	for _, v := range list {
		n += v
	}
	return n
}

// tellLogs shows the ends of the logs; engines say with SIGQUIT where their goroutines are.
func (w *world) tellLogs() {
	for _, u := range append([]*unit{w.store, w.load}, w.engines...) {
		if p := u.running(); !p.ended() {
			w.log.say("the end of %s:\n%s", u.log, tail(u.log, 15))
			if u.api != "" {
				_ = u.unwanted().signal(syscall.SIGQUIT)
			}
		}
	}
}
