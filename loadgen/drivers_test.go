package loadgen

import (
	"testing"

	"github.com/wattline/wattline/rating"
)

// TestTokensAreSent: the Start of a session has the token of its driver, nothing else has one, and the tariffs that members
// pay are all paid.
func TestTokensAreSent(t *testing.T) {
	cfg := smallCity(400)
	cfg.MembersPercent = 35
	n := mustNew(t, cfg)
	until := cfg.EpochMs + 12*hourMs
	want, tariffs := map[string]string{}, map[string]bool{}
	for s := range n.Sessions(until) {
		want[s.Transaction] = s.Token()
		if s.Tier() != "" {
			tariffs[s.Tariff.ID] = true
		}
	}
	for _, m := range memberTariffs() {
		if !tariffs[m.ID] {
			t.Errorf("nobody pays by %s", m.ID)
		}
	}
	stream := n.Stream(cfg.EpochMs)
	starts, tokens := 0, 0
	for stream.NowMs() < until {
		err := stream.Tick(func(e *Event) error {
			r := &e.Reading
			switch {
			case r.Kind == rating.KindStart && string(r.Token) != want[string(r.Transaction)]:
				t.Errorf("transaction %s begins with token %q, want %q", r.Transaction, r.Token, want[string(r.Transaction)])
			case r.Kind != rating.KindStart && len(r.Token) != 0:
				t.Errorf("a reading of kind %d has a token", r.Kind)
			case r.Kind == rating.KindStart && !e.Duplicate:
				starts++
				if len(r.Token) == 14 {
					tokens++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if starts == 0 || tokens*100 < 60*starts || tokens*100 > 90*starts {
		t.Errorf("%d of %d sessions begin with a token, want about 75 %%", tokens, starts)
	}
}
