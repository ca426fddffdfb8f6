package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// told runs an engine over what send sends, and lists every session with its version and what its rows add up to.
func told(t *testing.T, send func(w *world)) string {
	t.Helper()
	w := newWorld(1)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	send(w)
	if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
		t.Fatal(err)
	}
	return w.told()
}

func (w *world) told() string {
	var list []string
	for id, s := range w.sessions {
		energy, incl := int64(0), int64(0)
		for _, c := range w.charges {
			if fmt.Sprintf("%x", c.id) == id {
				incl += c.c.InclMicros
				if c.c.Kind == rating.ChargeUsage {
					energy += c.c.EnergyMwh
				}
			}
		}
		list = append(list, fmt.Sprintf("tx %s status %d: %d Wh for %d, rows %d Wh for %d, flags [%s]",
			s.tx, s.status, s.total.EnergyMwh/1000, s.total.InclMicros, energy/1000, incl, flagNames(s.flags)))
	}
	for _, r := range w.reject {
		list = append(list, "reject "+r[strings.Index(r, "reason")+9:])
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// billed is what was told without the rejects: what is refused is told, and bills nothing.
func billed(told string) string {
	var list []string
	for line := range strings.Lines(told) {
		if !strings.HasPrefix(line, "reject") {
			list = append(list, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(list, "\n")
}

// oneSession is a session of half an hour from a register on, 3 kWh, on connector 1 of CP1.
func oneSession(tx string, atMs, reg int64) []message {
	m := func(k rating.Kind, min, wh, seq int64) message {
		return message{Kind: k, CP: "CP1", Tx: tx, Conn: 1, At: atMs + min*minuteMs, Reg: reg + wh*1000, Seq: seq}
	}
	return []message{m(rating.KindStart, 0, 0, 0), m(rating.KindMeter, 10, 1000, 1), m(rating.KindMeter, 20, 2000, 2), m(rating.KindStop, 30, 3000, 3)}
}

// TestReviewOldMessagesOpenNothing: producers, gateways and chargers send again what they are not sure of, and
// that may be more than one session ago. Sessions of a connector do not overlap, so what was measured before the
// connector's last end is of a session that is over: it must not bill anything a second time.
func TestReviewOldMessagesOpenNothing(t *testing.T) {
	first, second := oneSession("7", t0, kwh), oneSession("8", t0+60*minuteMs, 4*kwh)
	f := func(name string, again ...message) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			send := func(more ...message) string {
				return told(t, func(w *world) {
					for _, m := range slices.Concat(first, second) {
						w.send(readings, m.At+500, m)
					}
					for _, m := range more {
						w.send(readings, t0+100*minuteMs, m)
					}
				})
			}
			if diff := cmp.Diff(send(), billed(send(again...))); diff != "" {
				t.Error(diff)
			}
		})
	}
	f("all of the session before the last", first...)
	f("its start", first[0])
	f("a meter reading of it", first[1])
	f("its stop", first[3])
}

// TestReviewOldMessageLeavesTheRunningSession: a meter reading of a session before the last comes while the next
// one runs. OCPP 1.6 names a Stop's session by the transaction alone: the running one must still be found.
func TestReviewOldMessageLeavesTheRunningSession(t *testing.T) {
	running := oneSession("9", t0+120*minuteMs, 8*kwh)
	running[3].Conn, running[3].Seq = 0, noSeq
	send := func(old bool) string {
		return told(t, func(w *world) {
			for _, m := range slices.Concat(oneSession("7", t0, kwh), oneSession("8", t0+60*minuteMs, 4*kwh), running[:3]) {
				w.send(readings, m.At+500, m)
			}
			if old {
				w.send(readings, running[2].At+600, oneSession("7", t0, kwh)[1])
			}
			w.send(readings, running[3].At+500, running[3])
		})
	}
	if diff := cmp.Diff(send(false), billed(send(true))); diff != "" {
		t.Error(diff)
	}
}

// TestReviewLateStopWithoutConnector: the Stop of a session that the watermark closed flags it, also where the
// protocol names no connector (OCPP 1.6 StopTransaction).
func TestReviewLateStopWithoutConnector(t *testing.T) {
	for _, connector := range []int32{1, 0} {
		got := told(t, func(w *world) {
			s := oneSession("7", t0, kwh)
			for _, m := range s[:3] {
				w.send(readings, m.At, m)
			}
			w.send(readings, t0+200*minuteMs, message{Kind: rating.KindStatus, CP: "CP2", Conn: 1, At: t0 + 200*minuteMs, Reg: noReg, Seq: noSeq})
			s[3].Conn = connector
			w.send(readings, t0+201*minuteMs, s[3])
		})
		if !strings.Contains(got, "flags [disorder,no_stop]") {
			t.Errorf("stop with connector %d: %s, want flags [disorder,no_stop]", connector, got)
		}
	}
}

// TestReviewStopOfTwoStarts: two connectors of a charge point wait for their answers, and a Stop of an unknown
// transaction comes without a connector. Which of the two ended is not known: none may be billed on a guess.
func TestReviewStopOfTwoStarts(t *testing.T) {
	got := told(t, func(w *world) {
		for i := range int32(2) {
			w.send(readings, t0, message{Kind: rating.KindStart, CP: "CP1", Conn: i + 1, MsgID: fmt.Sprint("m", i), At: t0, Reg: kwh + int64(i)*4*kwh, Seq: noSeq})
		}
		w.send(readings, t0+10*minuteMs, message{Kind: rating.KindStop, CP: "CP1", Tx: "99", At: t0 + 10*minuteMs, Reg: 2 * kwh, Seq: noSeq})
	})
	if strings.Contains(got, "tx 99") || !strings.Contains(got, "reject") {
		t.Errorf("%s\nwant a reject: the stop may be of either connector", got)
	}
}

// TestReviewOtherSlicesAfterACrash: the configuration is changed while an engine is down after a crash. What it
// replays must be what it did, whatever the slices are now, or it must say that it can not.
func TestReviewOtherSlicesAfterACrash(t *testing.T) {
	f := func(name string, change func(*Config)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			var refs []ReferenceRecord
			publishBasics(w, &refs, "CP1")
			s := oneSession("7", t0, kwh)
			for _, m := range s[:3] {
				w.send(readings, m.At, m)
			}
			w.send(readings, t0+45*minuteMs, message{Kind: rating.KindStatus, CP: "CP2", Conn: 1, At: t0 + 45*minuteMs, Reg: noReg, Seq: noSeq})
			cfg := testConfig()
			e := w.engine(t, cfg, &refs, readings)
			crashAfter(t, w, e)
			change(&cfg)
			w.send(readings, t0+46*minuteMs, s[3])
			if !finish(t, w, w.engine(t, cfg, &refs, readings)) {
				return // it says that it can not
			}
			for _, x := range w.sessions {
				energy, incl := int64(0), int64(0)
				for _, c := range w.charges {
					energy += c.c.EnergyMwh
					incl += c.c.InclMicros
				}
				if energy != x.total.EnergyMwh || incl != x.total.InclMicros {
					t.Errorf("rows of %d mWh for %d micros, the session has %d mWh for %d", energy, incl, x.total.EnergyMwh, x.total.InclMicros)
				}
			}
		})
	}
	f("nothing changed", func(*Config) {})
	f("shorter slices", func(c *Config) { c.SliceMs = 5 * minuteMs })
	f("no slices", func(c *Config) { c.SliceMs = -1 })
	f("a shorter time-out", func(c *Config) { c.SessionTimeoutMs = 20 * minuteMs })
}

// crashAfter runs an engine until all is committed, and kills it: no snapshot is taken.
func crashAfter(t *testing.T, w *world, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	w.await(t, e)
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	e.kill()
	cancel()
	if err := <-done; err != nil {
		t.Log("killed:", err)
	}
	w.dead = false
}

// finish runs an engine until all is committed, or a partition halts: false.
func finish(t *testing.T, w *world, e *Engine) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	all := w.await(t, e)
	cancel()
	if err := <-done; err != nil {
		t.Log("ended:", err)
	}
	return all
}

// await waits until all readings are committed, or a partition halts: false.
func (w *world) await(t *testing.T, e *Engine) bool {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		w.mu.Lock()
		all := w.commits[readings].Offset == int64(len(w.logs[readings.String()]))
		w.mu.Unlock()
		if all {
			return true
		}
		if err := e.Ready(); err != nil && strings.Contains(err.Error(), "halted") {
			return false
		}
		if time.Now().After(deadline) {
			t.Fatalf("not done: %+v", e.Stats())
		}
	}
}
