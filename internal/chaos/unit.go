package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/wattline/wattline/internal/parts"
)

// start starts the process and watches over it: one that ends though nobody wanted it to is noted, and started again as
// a service manager would.
func (u *unit) start() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, err := launch(u.log, u.w.dir, u.env, u.args[0], u.args[1:]...)
	if err != nil {
		return err
	}
	u.proc, u.wanted = p, true
	if u.disk != nil {
		u.refused = u.disk.done()
	}
	go u.watch(p)
	return nil
}

func (u *unit) watch(p *process) {
	<-p.done
	u.mu.Lock()
	refused := u.refused
	news := u.wanted && u.proc == p && (!u.finishes || p.err != nil)
	u.mu.Unlock()
	if !news {
		return
	}
	if u.disk != nil && u.disk.done() > refused {
		u.w.log.other("store ended on a full disk", "%s met a full disk when it started, and is started again: %v", u.name, p.err)
	} else {
		u.w.log.surprise(u.name, p.err, tail(u.log, 3))
	}
	time.Sleep(500 * time.Millisecond)
	u.mu.Lock()
	news = u.wanted && u.proc == p
	u.mu.Unlock()
	if news {
		if err := u.start(); err != nil {
			u.w.log.fail("start %s again: %v", u.name, err)
		}
	}
}

// running is the process of the last start.
func (u *unit) running() *process {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.proc
}

// unwanted says that an end of the process is no news from now on.
func (u *unit) unwanted() *process {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wanted = false
	return u.proc
}

// kill is kill -9.
func (u *unit) kill() error {
	p := u.unwanted()
	if p == nil {
		return nil
	}
	return p.kill()
}

// stop is SIGTERM. ok: it ended in order and in time.
func (u *unit) stop(limit time.Duration) (ok bool, err error) {
	return u.unwanted().stop(limit)
}

// freeze stands the process still for d.
func (u *unit) freeze(ctx context.Context, d time.Duration) error {
	p := u.running()
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, d)
	return p.signal(syscall.SIGCONT)
}

// start starts the broker and returns when it answers.
func (b *broker) start(ctx context.Context) error {
	k, err := parts.StartKafka(ctx, b.cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kafka = k
	return nil
}

func (b *broker) running() *parts.Kafka {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kafka
}

func (b *broker) kill() error {
	if k := b.running(); k != nil {
		return k.Kill()
	}
	return nil
}

func (b *broker) ended() bool {
	select {
	case <-b.running().Done():
		return true
	default:
		return false
	}
}

func (b *broker) freeze(ctx context.Context, d time.Duration) error {
	pid := b.running().Pid()
	if b.ended() {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, d)
	return syscall.Kill(pid, syscall.SIGCONT)
}
