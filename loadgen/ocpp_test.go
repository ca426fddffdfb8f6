package loadgen

import (
	"encoding/json"
	"testing"

	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/rating"
)

// TestEvents: a station's frames say what the readings say: kind, time, register with its step, power, current, state, and
// what names them.
func TestEvents(t *testing.T) {
	cfg := City()
	cfg.ChargePoints = 200
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	events, kinds := 0, map[rating.Kind]int{}
	for s := n.Stream(cfg.EpochMs); s.NowMs() < cfg.EpochMs+3*3_600_000; {
		err := s.Tick(func(e *Event) error {
			r := e.Reading
			r.ChargePoint = nil
			frame := AppendEvent(nil, &r)
			if !json.Valid(frame) {
				t.Fatalf("no JSON: %s", frame)
			}
			got, err := ocpp.Decode2(e.Reading.ChargePoint, frame, nil)
			if err != nil || len(got) == 0 {
				t.Fatalf("%v: %s", err, frame)
			}
			checkEvent(t, &r, got, frame)
			events++
			kinds[r.Kind]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if events < 1000 || kinds[rating.KindStart] < 50 || kinds[rating.KindStop] < 50 {
		t.Errorf("%d events, %v", events, kinds)
	}
}

// checkEvent holds the readings of a frame against the one that it was made of.
func checkEvent(t *testing.T, r *rating.Reading, got []rating.Reading, frame []byte) {
	t.Helper()
	measured, said := false, eventState(r.State) == "" || r.Kind == rating.KindStop
	for i := range got {
		g := &got[i]
		if string(g.Transaction) != string(r.Transaction) || g.Connector != r.Connector || g.AtMs != r.AtMs {
			t.Fatalf("another message: %+v of %s", g, frame)
		}
		if g.Kind == r.Kind && g.RegisterMwh == r.RegisterMwh {
			measured = true
			step := max(r.ResolutionMwh, 1)
			if s := max(g.ResolutionMwh, 1); s != step || r.Kind == rating.KindMeter && (g.PowerMicroW != r.PowerMicroW || g.CurrentNanoA != r.CurrentNanoA) {
				t.Errorf("step %d, power %d, current %d of %s", s, g.PowerMicroW, g.CurrentNanoA, frame)
			}
		}
		said = said || g.State == r.State
		if g.Kind != rating.KindMeter && g.Seq != r.Seq {
			t.Errorf("seq %d of %s", g.Seq, frame)
		}
	}
	if !measured || !said {
		t.Errorf("kind, register or state are not there: %+v of %s", got, frame)
	}
}
