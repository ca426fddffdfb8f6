package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
	"github.com/wattline/wattline/rating/ocpi"
)

// listLog is a reference log in memory.
type listLog []engine.Record

// ReadLog implements engine.LogReader.
func (l listLog) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for _, r := range l[from:] {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(l)), nil
}

// referenceOf is the reference log of a network, as `wattline reference load` publishes it.
func referenceOf(t *testing.T, n *loadgen.Network) listLog {
	t.Helper()
	var log listLog
	put := func(r *ocpi.Reference) {
		key, value, err := ocpi.AppendReference(nil, nil, r)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, engine.Record{Offset: int64(len(log)), Key: key, Value: value})
	}
	put(&ocpi.Reference{Kind: ocpi.ReferenceInstallation, HashKey: [16]byte{7}})
	for _, x := range n.Tariffs() {
		put(&ocpi.Reference{Kind: ocpi.ReferenceTariff, TariffKey: rating.TariffKey{CountryCode: x.CountryCode, PartyID: x.PartyID, ID: x.ID}, Tariff: x})
	}
	for i := range n.Sites() {
		entries, report := ocpi.ParseLocations(n.LocationJSON(nil, i), nil)
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		l := entries[0].Location
		put(&ocpi.Reference{Kind: ocpi.ReferenceLocation, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}, Location: l})
	}
	return log
}

// everySession is what is said of a session in all places.
type everySession struct {
	rows  rating.Total // sums of its rows
	last  rating.Total // of its last version
	price string       // its last running price
	cdr   string
}

// TestRowsPricesCDRs: of 10,000 sessions the sum of the rows, the last running price and the oracle's price of the readings
// are equal to the last digit, and so is the CDR at 4 decimals, which is valid.
func TestRowsPricesCDRs(t *testing.T) {
	cfg := loadgen.City()
	cfg.ChargePoints, cfg.Partitions = 2_300, 1
	cfg.EndMs = cfg.EpochMs + 24*3_600_000
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	all := rateAll(t, n)
	schema, err := jsonschema.NewCompiler().Compile("../../docs/formats/cdr.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	untilMs := cfg.EndMs + 1
	compared := 0
	for s := range n.Sessions(untilMs) {
		name := fmt.Sprintf("%s/%d/%s", s.ChargePoint, s.Connector, s.Transaction)
		want, err := s.Truth(untilMs)
		if err != nil {
			t.Fatal(err)
		}
		got := all[name]
		if got == nil {
			t.Fatalf("session %s was not rated", name)
		}
		compareAll(t, schema, name, got, &want)
		compared++
	}
	if compared < 10_000 {
		t.Errorf("%d sessions were compared: too few", compared)
	}
	t.Logf("%d sessions are equal", compared)
}

// compareAll holds all that is said of a session against the truth.
func compareAll(t *testing.T, schema *jsonschema.Schema, name string, got *everySession, want *loadgen.Truth) {
	t.Helper()
	type amount struct {
		unknown    bool
		excl, incl int64
	}
	truth := amount{want.ExclUnknown, want.ExclMicros, want.InclMicros}
	of := func(x *rating.Total) amount {
		if x.ExclUnknown {
			return amount{true, want.ExclMicros, x.InclMicros}
		}
		return amount{false, x.ExclMicros, x.InclMicros}
	}
	if of(&got.rows) != truth || of(&got.last) != truth || got.rows.EnergyMwh != want.EnergyMwh || got.last.EnergyMwh != want.EnergyMwh {
		t.Errorf("session %s: rows %+v, session %+v, want %+v", name, got.rows, got.last, *want)
	}
	excl := `"excl":"` + money.FormatDecimal(want.ExclMicros, 6) + `"`
	if want.ExclUnknown {
		excl = `"excl":null`
	}
	energy := fmt.Sprintf(`"energy_mwh":%d,`, want.EnergyMwh)
	if !strings.Contains(got.price, excl) || !strings.Contains(got.price, `"incl":"`+money.FormatDecimal(want.InclMicros, 6)+`"`) || !strings.Contains(got.price, energy) {
		t.Errorf("session %s: the last price is %s, want %+v", name, got.price, *want)
	}
	if want.ExclUnknown {
		if !strings.Contains(got.cdr, "no CDR: total_cost.excl_vat") {
			t.Errorf("session %s: %s, want no CDR, as the price without tax is unknown", name, got.cdr)
		}
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(got.cdr))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Fatalf("session %s: %v in %s", name, err, got.cdr)
	}
	var cdr struct {
		Cost struct {
			Excl json.Number `json:"excl_vat"`
			Incl json.Number `json:"incl_vat"`
		} `json:"total_cost"`
		Energy json.Number `json:"total_energy"`
	}
	if err := json.Unmarshal([]byte(got.cdr), &cdr); err != nil {
		t.Fatal(err)
	}
	half := func(micros int64) string { return money.FormatDecimal((micros+50)/100, 4) }
	mwh, err := money.ParseDecimal(string(cdr.Energy), 6)
	if err != nil || string(cdr.Cost.Excl) != half(want.ExclMicros) || string(cdr.Cost.Incl) != half(want.InclMicros) || mwh != want.EnergyMwh {
		t.Errorf("session %s: the CDR says %+v, want %s, %s and %d mWh", name, cdr, half(want.ExclMicros), half(want.InclMicros), want.EnergyMwh)
	}
}

// rateAll rates all readings of a network as an engine does, and gathers what it says, by session.
func rateAll(t *testing.T, n *loadgen.Network) map[string]*everySession {
	t.Helper()
	ref := engine.NewReference(reference.Decode, nil)
	if err := ref.Follow(t.Context(), referenceOf(t, n), "reference"); err != nil {
		t.Fatal(err)
	}
	p := engine.Partition{Topic: "wattline.readings"}
	decode := engine.Decode(wire.Decode)
	r, err := engine.NewReplayer(p, engine.Config{}, func(string, []byte) engine.Decode { return decode }, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, names := map[string]*everySession{}, map[string]string{}
	offset, first := int64(0), int64(0)
	r.Begin(0, ref.Next())
	end := func() {
		r.End(offset - 1)
		gather(r.Block(), p, all, names)
		first = offset
		r.Begin(first, ref.Next())
	}
	for s := n.Stream(0); !s.Done(); {
		err := s.Tick(func(e *loadgen.Event) error {
			r.Rate(engine.Record{Offset: offset, TimestampMs: e.SendMs, Key: e.Reading.ChargePoint, Value: wire.Append(nil, &e.Reading)})
			offset++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if offset-first > 50_000 {
			end()
		}
	}
	end()
	return all
}

// gather takes what a block says. names are of sessions, by their ids.
func gather(b *engine.Block, p engine.Partition, all map[string]*everySession, names map[string]string) {
	for i := range b.Sessions {
		v := &b.Sessions[i]
		for j := range v.Version {
			id := engine.SessionID(v.SessionID[j]).String()
			if names[id] == "" {
				names[id] = fmt.Sprintf("%s/%d/%s", v.ChargePoint[j], v.Connector[j], v.Transaction[j])
				all[names[id]] = &everySession{}
			}
			all[names[id]].last = v.Total[j]
		}
	}
	for i := range b.Charges {
		c := &b.Charges[i]
		for j := range c.Position {
			x, row := all[names[engine.SessionID(c.SessionID[j]).String()]], &c.Charge[j]
			x.rows.ExclMicros += row.ExclMicros
			x.rows.InclMicros += row.InclMicros
			x.rows.ExclUnknown = x.rows.ExclUnknown || row.ExclUnknown
			if row.Kind == rating.ChargeUsage {
				x.rows.EnergyMwh += row.EnergyMwh
			}
		}
	}
	_ = b.Box.Each(outbox.Source{Topic: p.Topic, Partition: p.Number}, func(m outbox.Message) error {
		key := string(m.Key)
		x := all[names[key[strings.LastIndexByte(key, '/')+1:]]]
		switch {
		case m.Kind == outbox.Live && m.Value != nil:
			x.price = string(m.Value)
		case m.Kind != outbox.Live:
			x.cdr = string(m.Value)
		}
		return nil // so Each returns none either
	})
}
