package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// storm lets faults come until ctx ends, then waits for those that run. Each takes itself back (X3).
func (w *world) storm(ctx context.Context, d *deck) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c := d.next()
		pause(ctx, c.wait)
		if ctx.Err() != nil {
			return
		}
		f := w.fault(&c)
		if f == nil {
			w.log.skip()
			continue
		}
		running.Go(func() {
			if err := f(ctx); err != nil {
				w.log.fail("fault %d, %s: %v", c.number, c.kind, err)
			}
		})
	}
}

// fault takes hold of the victims of a card and returns what is done to them; nil: they suffer already.
func (w *world) fault(c *card) func(context.Context) error {
	switch c.kind {
	case killEngine, restartEngine, freezeEngine, rebalanceStorm, killFrozenEngine:
		return w.engineFault(c)
	case killStore, killStoreRename, freezeStore, fullStore, renameNoSpace:
		return w.storeFault(c)
	case killBroker, freezeBroker, fullBroker:
		return w.brokerFault(c)
	case killAllBrokers:
		return w.allBrokers(c)
	case killEngineStore:
		return w.engineAndStore(c)
	case killLoad:
		return held(w.load, func(ctx context.Context) error { return w.killed(ctx, w.load, "", c.back) })
	}
	l := w.net.proxies[c.victim%len(w.net.proxies)]
	if !l.fault.TryLock() {
		return nil
	}
	return func(ctx context.Context) error {
		defer l.fault.Unlock()
		w.log.other(string(badNet), "network %s: %s for %.1f s", l.name, c.toxic, c.long.Seconds())
		return l.suffer(ctx, c.toxic, c.long)
	}
}

func (t toxic) String() string {
	if t.kind == "" {
		return t.name
	}
	return fmt.Sprintf("%s %s %v", t.name, t.stream, t.attributes)
}

// held is do with u held, nil if it is held already (X2).
func held(u *unit, do func(context.Context) error) func(context.Context) error {
	if !u.fault.TryLock() {
		return nil
	}
	return func(ctx context.Context) error {
		defer u.fault.Unlock()
		return do(ctx)
	}
}

// engine is the first one that suffers nothing, counted from the card's victim; nil: there is none.
func (w *world) engine(c *card, do func(context.Context, *unit) error) func(context.Context) error {
	for i := range w.engines {
		u := w.engines[(c.victim+i)%len(w.engines)]
		if f := held(u, func(ctx context.Context) error { return do(ctx, u) }); f != nil {
			return f
		}
	}
	return nil
}

// killed kills u and starts it again.
func (w *world) killed(ctx context.Context, u *unit, how string, back time.Duration) error {
	w.log.killed(u.name, how)
	if err := u.kill(); err != nil {
		return err
	}
	pause(ctx, back)
	return u.start()
}

func (w *world) engineFault(c *card) func(context.Context) error {
	return w.engine(c, func(ctx context.Context, u *unit) error {
		switch c.kind {
		case restartEngine:
			return w.restarted(ctx, u, c.back)
		case freezeEngine:
			w.log.other(string(freezeEngine), "freeze %s for %.1f s", u.name, c.long.Seconds())
			return u.freeze(ctx, c.long)
		case killFrozenEngine:
			w.log.other(string(freezeEngine), "freeze %s for %.1f s", u.name, c.long.Seconds())
			if err := u.freeze(ctx, c.long); err != nil {
				return err
			}
			pause(ctx, c.back/4)
			return w.killed(ctx, u, " that has just woken", c.back)
		case rebalanceStorm:
			for range c.times {
				var err error
				if c.broken {
					err = w.killed(ctx, u, " (storm)", 200*time.Millisecond)
				} else {
					err = w.restarted(ctx, u, 200*time.Millisecond)
				}
				if err != nil {
					return err
				}
				pause(ctx, c.long/2)
			}
			return nil
		}
		return w.killed(ctx, u, "", c.back)
	})
}

// restarted stops u in order and starts it again. An end that is not in order is no fault here: what a stop needs may
// be away. The last stop, when nothing is, is judged (judge.go).
func (w *world) restarted(ctx context.Context, u *unit, back time.Duration) error {
	began := time.Now()
	ok, err := u.stop(stopLimit)
	if err != nil {
		return err
	}
	how := "in order"
	if !ok {
		how = "not in order"
	}
	w.log.other(string(restartEngine), "SIGTERM %s: ended %s in %.1f s", u.name, how, time.Since(began).Seconds())
	pause(ctx, back)
	return u.start()
}

func (w *world) storeFault(c *card) func(context.Context) error {
	return held(w.store, func(ctx context.Context) error {
		switch c.kind {
		case killStoreRename:
			return w.killedAtRename(ctx, c)
		case freezeStore:
			w.log.other(string(freezeStore), "freeze the store for %.1f s", c.long.Seconds())
			return w.store.freeze(ctx, c.long)
		case fullStore:
			before := w.storeDisk.done()
			w.storeDisk.fill(true)
			pause(ctx, c.long)
			w.storeDisk.fill(false)
			w.log.other(string(fullStore), "the store's disk was full for %.1f s: %d calls refused", c.long.Seconds(), w.storeDisk.done()-before)
			return nil
		case renameNoSpace:
			before := w.storeDisk.done()
			w.storeDisk.arm(atRenameNoSpace, c.rename)
			w.awaitRename(ctx, before)
			w.storeDisk.arm(0, 0)
			if w.storeDisk.done() > before {
				w.log.other(string(renameNoSpace), "the store's rename %d from then failed with ENOSPC", c.rename)
			}
			return nil
		}
		return w.killed(ctx, w.store, "", c.back)
	})
}

// awaitRename waits until the shim has done what it was armed for, a while at most.
func (w *world) awaitRename(ctx context.Context, before int64) {
	for i := 0; i < 100 && w.storeDisk.done() == before && ctx.Err() == nil; i++ {
		pause(ctx, 50*time.Millisecond)
	}
}

// killedAtRename has the store killed by the shim at a rename; by us, if there is none.
func (w *world) killedAtRename(ctx context.Context, c *card) error {
	p := w.store.unwanted()
	before := w.storeDisk.done()
	w.storeDisk.arm(c.action, c.rename)
	w.awaitRename(ctx, before)
	how := fmt.Sprintf(" at rename %d from now, instead of it", c.rename)
	if c.action == atRenameKillAfter {
		how = fmt.Sprintf(" right after rename %d from now", c.rename)
	}
	if w.storeDisk.done() == before {
		how = " (no rename came)"
	}
	w.storeDisk.arm(0, 0)
	w.log.killed(w.store.name, how)
	if err := p.kill(); err != nil {
		return err
	}
	pause(ctx, c.back)
	return w.store.start()
}

// engineAndStore kills both within a moment: the engine then finds what an insert of its former life left.
func (w *world) engineAndStore(c *card) func(context.Context) error {
	if !w.store.fault.TryLock() {
		return nil
	}
	f := w.engine(c, func(ctx context.Context, u *unit) error {
		w.log.killed(w.store.name, " together with "+u.name)
		w.log.killed(u.name, "")
		err := errors.Join(w.store.kill(), u.kill())
		pause(ctx, c.back)
		return errors.Join(err, w.store.start(), u.start())
	})
	if f == nil {
		w.store.fault.Unlock()
		return nil
	}
	return func(ctx context.Context) error {
		defer w.store.fault.Unlock()
		return f(ctx)
	}
}

func (w *world) brokerFault(c *card) func(context.Context) error {
	for i := range w.brokers {
		b := w.brokers[(c.victim+i)%len(w.brokers)]
		if !b.fault.TryLock() {
			continue
		}
		return func(ctx context.Context) error {
			defer b.fault.Unlock()
			switch c.kind {
			case freezeBroker:
				w.log.other(string(freezeBroker), "freeze %s for %.1f s", b.name, c.long.Seconds())
				return b.freeze(ctx, c.long)
			case fullBroker:
				return w.brokerFull(ctx, b, c)
			}
			w.log.killed(b.name, "")
			if err := b.kill(); err != nil {
				return err
			}
			pause(ctx, c.back)
			return w.brokerBack(ctx, b)
		}
	}
	return nil
}

// brokerFull fills a broker's disk: Kafka gives a log folder up at the first failed write, and ends with its last one.
func (w *world) brokerFull(ctx context.Context, b *broker, c *card) error {
	before := b.disk.done()
	b.disk.fill(true)
	select {
	case <-b.running().Done():
	case <-time.After(c.long):
	case <-ctx.Done():
	}
	b.disk.fill(false)
	ended := b.ended()
	w.log.other(string(fullBroker), "the disk of %s was full: %d calls refused, the broker ended: %v", b.name, b.disk.done()-before, ended)
	// A broker that lives on may have given its folder up without a word: it is started anew all the same.
	if err := b.kill(); err != nil {
		return err
	}
	return w.brokerBack(ctx, b)
}

// brokerBack starts a broker. One try may come too early for the controller, or be hit by another fault.
func (w *world) brokerBack(ctx context.Context, b *broker) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	for range 5 {
		began := time.Now()
		if err = b.start(ctx); err == nil {
			w.log.say("%s is back, started in %.1f s", b.name, time.Since(began).Seconds())
			return nil
		}
		w.log.say("%s does not start: %v", b.name, err)
	}
	return err
}

// allBrokers kills the whole cluster at once.
func (w *world) allBrokers(c *card) func(context.Context) error {
	for i, b := range w.brokers {
		if !b.fault.TryLock() {
			for _, have := range w.brokers[:i] {
				have.fault.Unlock()
			}
			return nil
		}
	}
	return func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make([]error, len(w.brokers))
		for i, b := range w.brokers {
			wg.Go(func() {
				defer b.fault.Unlock()
				w.log.killed(b.name, " (all)")
				if errs[i] = b.kill(); errs[i] == nil {
					pause(ctx, c.back)
					errs[i] = w.brokerBack(ctx, b)
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}
