package kafka

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine/ends"
)

// TestTroubles: what passes within moments is told to nobody, what lasts once, and its end once.
func TestTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tr := &troubles{log: slog.New(slog.NewTextHandler(&out, nil)), open: map[string]*trouble{}}
		err := errors.New("refused")
		f := func(wait time.Duration, act func(), want string) {
			t.Helper()
			time.Sleep(wait)
			out.Reset()
			act()
			if got := out.String(); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("want %q, got %q", want, got)
			}
		}
		fail := func() { tr.failed("group", "the group is not joined", err) }
		over := func() { tr.over("group") }
		f(0, over, "")
		f(0, fail, "")
		f(time.Second, fail, "")
		f(0, over, "")
		f(time.Second, fail, "")
		f(time.Second, fail, "")
		f(time.Second, fail, "level=WARN msg=\"kafka: something fails and is tried again and again\" what=\"the group is not joined\"")
		f(time.Second, fail, "")
		f(0, func() { tr.failed("metadata", "x", err) }, "")
		f(time.Minute, fail, "")
		f(time.Second, over, "level=INFO")
		f(0, over, "")
		// Nobody said that it was over.
		f(0, fail, "")
		f(3*time.Second, fail, "level=WARN")
		f(2*time.Minute, fail, "")
		f(3*time.Second, fail, "level=WARN")
	})
}

// TestContact: the group is out of reach when its coordinator is, or is silent; a rebalance and an answer that is
// a code are contact.
func TestContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{cfg: Config{}.withDefaults()}
		g := &Group{c: c, cfg: c.cfg.Group, stable: true, round: 1}
		g.contact.heard = time.Now()
		ping := func(want ends.Fault) {
			t.Helper()
			var f *ends.FaultError
			got := ends.FaultNone
			if err := g.Ping(context.Background()); errors.As(err, &f) {
				got = f.Fault
			} else if err != nil {
				t.Errorf("%v is no FaultError", err)
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		ping(ends.FaultNone)
		g.contact.note(kafkago.GroupCoordinatorNotAvailable)
		ping(ends.FaultUnreachable)
		g.contact.note(kafkago.RebalanceInProgress)
		ping(ends.FaultNone)
		g.contact.note(errors.New("connection refused"))
		ping(ends.FaultUnreachable)
		g.contact.note(nil)
		ping(ends.FaultNone)
		g.contact.note(kafkago.NotCoordinatorForGroup)
		g.round = 0 // a fresh broker
		ping(ends.FaultNone)
		time.Sleep(firstJoin)
		ping(ends.FaultUnreachable)
		g.round = 1
		g.contact.note(nil)
		time.Sleep(6 * time.Second)
		ping(ends.FaultSlow)
		g.stable = false // others are awaited
		ping(ends.FaultNone)
		time.Sleep(20 * time.Second)
		ping(ends.FaultSlow)
	})
}
