package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wattline/wattline/rating"
)

// saidCDR is a CDR as far as it is compared.
type saidCDR struct {
	SessionID string `json:"session_id"`
	Start     string `json:"start_date_time"`
	End       string `json:"end_date_time"`
	Token     struct{ Type string }
	Periods   []struct {
		Dimensions []struct {
			Type   string
			Volume json.Number
		}
	} `json:"charging_periods"`
	Cost struct {
		Excl json.Number `json:"excl_vat"`
		Incl json.Number `json:"incl_vat"`
	} `json:"total_cost"`
	Energy  json.Number `json:"total_energy"`
	Time    json.Number `json:"total_time"`
	Parking json.Number `json:"total_parking_time"`
	Remark  string
	Updated string `json:"last_updated"`
}

// units reads a decimal in units of 10^-digits, exactly.
func units(t testing.TB, n json.Number, digits int) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(string(n), ".")
	if len(fraction) > digits {
		t.Fatalf("%s has more than %d decimals", n, digits)
	}
	v, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// msOf is the milliseconds that hours of 7 decimals are of.
func msOf(t testing.TB, n json.Number) int64 { return (units(t, n, 7)*36 + 50) / 100 }

// TestCDRsAreRows: of many sessions each that is final has one CDR, which is valid and says what its rows add up to.
func TestCDRsAreRows(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/formats/cdr.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var uids []string
	for i := range 40 {
		uids = append(uids, fmt.Sprintf("CP%d", i))
	}
	b := newBare(t, Config{}, uids...)
	e := &eventful{rnd: rand.New(rand.NewPCG(1, 7)), at: t0}
	type sum struct {
		excl, incl, mwh, charging, parking int64
		status                             SessionStatus
	}
	rows, cdrs := map[string]*sum{}, map[string]string{}
	take := func() {
		for i := range b.block.Charges {
			r := &b.block.Charges[i]
			for j := range r.Position {
				id := SessionID(r.SessionID[j]).String()
				if rows[id] == nil {
					rows[id] = &sum{}
				}
				x, c := rows[id], &r.Charge[j]
				x.excl, x.incl = x.excl+c.ExclMicros, x.incl+c.InclMicros
				if c.Kind != rating.ChargeUsage {
					continue
				}
				x.mwh += c.EnergyMwh
				if c.Dimension == rating.ParkingTime {
					x.parking += c.DurationMs
				} else {
					x.charging += c.DurationMs
				}
			}
		}
		for i := range b.block.Sessions {
			r := &b.block.Sessions[i]
			for j, id := range r.SessionID {
				if x := rows[SessionID(id).String()]; x != nil {
					x.status = r.Status[j]
				}
			}
		}
		for k, v := range b.cdrs() {
			if cdrs[k] != "" {
				t.Errorf("session %s has two CDRs", k)
			}
			cdrs[k] = v
		}
		b.block.reset(readings, b.nextOffset, b.bookOffset)
	}
	for n := range 40_000 {
		m := e.message()
		b.send(t, m.At+500, m)
		if n%1000 == 0 {
			take()
		}
	}
	b.send(t, e.at+30*60*minuteMs, message{CP: "CP1", Conn: 1, Kind: rating.KindStatus, At: e.at, Reg: noReg}) // all that is silent is given up
	take()
	completed, provisional, several := 0, 0, 0
	for id, want := range rows {
		text, ok := cdrs[id]
		if want.status != StatusCompleted && want.status != StatusProvisional {
			continue // its Stop came after it was closed
		}
		if !ok {
			if want.status == StatusCompleted {
				t.Errorf("session %s is over and has no CDR", id)
			}
			continue
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		var c saidCDR
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		got := sum{status: want.status, mwh: units(t, c.Energy, 6)}
		got.excl, got.incl = units(t, c.Cost.Excl, 4), units(t, c.Cost.Incl, 4)
		half := func(micros int64) int64 { return (micros + 50) / 100 }
		if got.mwh != want.mwh || got.excl != half(want.excl) || got.incl != half(want.incl) || msOf(t, c.Time) != want.charging+want.parking {
			t.Errorf("session %s: its rows add up to %+v, its CDR says %s", id, *want, text)
		}
		mwh, ms := int64(0), int64(0)
		for _, p := range c.Periods {
			for _, d := range p.Dimensions {
				switch d.Type {
				case "ENERGY":
					mwh += units(t, d.Volume, 6)
				default:
					ms += msOf(t, d.Volume)
				}
			}
		}
		if mwh != want.mwh || ms != want.charging+want.parking {
			t.Errorf("session %s: %d mWh and %d ms in the periods of %s", id, mwh, ms, text)
		}
		if want.status == StatusCompleted {
			completed++
		} else if provisional++; !strings.Contains(c.Remark, "without a stop") {
			t.Errorf("no remark of the lost stop: %s", text)
		}
		if len(c.Periods) > 1 {
			several++
		}
	}
	if completed < 500 || provisional < 50 || several < 500 {
		t.Errorf("only %d completed, %d provisional, %d with several periods: they prove little", completed, provisional, several)
	}
}

// TestNoCDR: a session whose location lacks a field has a reject that names it, and its rows.
func TestNoCDR(t *testing.T) {
	b := newBare(t, Config{}, "CP1")
	l := testLocation("L2", "T1", "CP2")
	l.Address = ""
	b.w.publish(&b.refs, ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: l})
	if err := b.ref.Follow(t.Context(), b.w, "wattline.reference"); err != nil {
		t.Fatal(err)
	}
	b.changeBook(b.ref.Next())
	for _, m := range of("CP2", "7", startAt(minutes(0), 0, 0), meter(minutes(20), kwh, 1), stopAt(minutes(40), 2*kwh, 2)) {
		b.each(t, m)
	}
	id := SessionID(b.block.Sessions[0].SessionID[0]).String()
	want := map[string]string{
		"readings/0/2/0/" + id: fmt.Sprintf(`{"v":2,"topic":"readings","partition":0,"offset":2,"index":0,"at_ms":%d,"reason":"session %s: no CDR: cdr_location.address: is missing"}`, minutes(40)+500, id),
	}
	if got := b.cdrs(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(b.block.Charges[0].Position) == 0 || b.block.Row.Rejects != 0 {
		t.Error("the session has no rows, or counts as a reject of the block")
	}
}
