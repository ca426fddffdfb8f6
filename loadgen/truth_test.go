package loadgen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// The oracle and the fast pricer agree on every session, finished or not, and rows add up.
func TestTruth(t *testing.T) {
	f := func(name string, cfg Config, hours, sliceMs int64) {
		t.Helper()
		n := mustNew(t, cfg)
		until := cfg.EpochMs + hours*hourMs
		var want Sums
		for s := range n.Sessions(until) {
			truth, err := s.Truth(until)
			if err != nil {
				t.Fatal(err)
			}
			points := s.Points(nil, until)
			rows, total := s.rate(points, until, sliceMs, nil)
			got := Truth{
				LastMs: points[len(points)-1].AtMs, Readings: int64(len(points)), Finished: s.Finished(until),
				EnergyMwh: total.EnergyMwh, ChargingMs: total.ChargingMs, ParkingMs: total.ParkingMs, ReservedMs: total.ReservationMs,
				ExclMicros: total.ExclMicros, InclMicros: total.InclMicros, ExclUnknown: total.ExclUnknown,
			}
			if diff := cmp.Diff(truth, got); diff != "" {
				t.Errorf("%s: %s/%d/%s by %s (-oracle +fast):\n%s", name, s.ChargePoint, s.Connector, s.Transaction, s.Tariff.ID, diff)
			}
			if truth.Finished {
				var energy, incl int64
				for _, row := range rows {
					energy += row.EnergyMwh
					incl += row.InclMicros
				}
				extra := int64(0) // what step_size billed beyond the register
				for _, row := range rows {
					if row.Kind == rating.ChargeStep {
						extra += row.EnergyMwh
					}
				}
				if energy-extra != truth.EnergyMwh || incl != truth.InclMicros {
					t.Errorf("%s: rows of %s add up to %d mWh and %d, not %d and %d", name, s.Transaction, energy, incl, truth.EnergyMwh, truth.InclMicros)
				}
				want.Finished++
				want.FinishedEnergyMwh += truth.EnergyMwh
				want.FinishedExclMicros += truth.ExclMicros
				want.FinishedInclMicros += truth.InclMicros
			} else {
				want.RunningExclMicros += truth.ExclMicros
				want.RunningInclMicros += truth.InclMicros
			}
			want.Sessions++
			want.Readings += truth.Readings
			want.Duplicates += s.Duplicates(until)
			want.EnergyMwh += truth.EnergyMwh
			want.ReservedMs += truth.ReservedMs
			want.ChargingMs += truth.ChargingMs
			want.ParkedMs += truth.ParkingMs
			for _, row := range rows {
				want.Rows++
				want.RowsEnergyMwh += row.EnergyMwh
				want.RowsDurationMs += row.DurationMs
				want.RowsExclMicros += row.ExclMicros
				want.RowsInclMicros += row.InclMicros
			}
		}
		if diff := cmp.Diff(want, n.Sums(until, sliceMs)); diff != "" {
			t.Errorf("%s: sums (-oracle +fast):\n%s", name, diff)
		}
		if want.Finished == 0 || want.FinishedInclMicros == 0 || want.Rows == 0 {
			t.Errorf("%s: nothing was priced: %+v", name, want)
		}
	}
	f("city", smallCity(60), 30, 15*minuteMs)
	f("bench", smallBench(20), 1, 15*minuteMs)
	members := smallCity(60)
	members.MembersPercent = 60
	f("members", members, 30, 15*minuteMs)
	summer := smallCity(30) // clocks change in the night of 2026-03-29
	summer.EpochMs += 82 * dayMs
	f("summer time", summer, 40, 0)
	ends := smallCity(30)
	ends.EndMs = ends.EpochMs + 20*hourMs
	f("ends", ends, 24, 15*minuteMs)
	late := smallCity(20)
	late.DisorderPerMillion = 100_000
	f("late", late, 10, 15*minuteMs)
}

func TestSpotCheck(t *testing.T) {
	n := mustNew(t, smallBench(100))
	until := n.cfg.EpochMs + 20*minuteMs
	if checked, err := n.SpotCheck(until, 20); err != nil || checked < 20 || checked > 30 {
		t.Errorf("%d checked, %v", checked, err)
	}
	// A plan of another tariff is found out.
	for key := range n.plans {
		plan, err := rating.Compile(benchTariffs(16, 0)[(key.tariff+9)%16], n.sites[0].zone)
		if err != nil {
			t.Fatal(err)
		}
		n.plans[key] = plan
	}
	if checked, err := n.SpotCheck(until, 20); !errors.Is(err, ErrTruth) {
		t.Errorf("%d checked by the wrong plan, %v", checked, err)
	}
}

func TestWriteTruth(t *testing.T) {
	n := mustNew(t, smallCity(30))
	until := n.cfg.EpochMs + 10*hourMs
	var b bytes.Buffer
	if err := n.WriteTruth(&b, until); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(&b)
	for s := range n.Sessions(until) {
		var line truthLine
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil {
			t.Fatalf("line %q", lines.Text())
		}
		truth, err := s.Truth(until)
		if err != nil {
			t.Fatal(err)
		}
		if line.Version != 1 || line.Transaction != s.Transaction || line.EnergyMwh != truth.EnergyMwh ||
			line.InclMicros != truth.InclMicros || line.ExclMicros == nil || *line.ExclMicros != truth.ExclMicros {
			t.Errorf("line %s of %+v", lines.Text(), truth)
		}
	}
	if lines.Scan() {
		t.Errorf("one more line: %s", lines.Text())
	}
}

// The files are OCPI without fault, hold the tariffs that the truth is made of, and every connector is found in
// them with its tariff.
func TestReference(t *testing.T) {
	f := func(cfg Config) {
		t.Helper()
		n, dir := mustNew(t, cfg), t.TempDir()
		if err := n.WriteReference(dir); err != nil {
			t.Fatal(err)
		}
		library := rating.NewLibrary()
		read := func(folder string, each func(src []byte)) {
			files, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %d files, %v", folder, len(files), err)
			}
			for _, file := range files {
				src, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				each(src)
			}
		}
		found := map[string]*rating.Tariff{}
		read("tariffs", func(src []byte) {
			entries, report := ocpi.ParseTariffs(src)
			if len(report.Faults)+len(report.Warnings) > 0 || len(entries) != 1 || len(entries[0].Report.Faults) > 0 {
				t.Fatalf("%s: %v %v", src, report, entries)
			}
			if len(entries[0].Report.Warnings) > 0 {
				t.Errorf("tariff %s: %v", entries[0].Tariff.ID, entries[0].Report.Warnings)
			}
			tariff := entries[0].Tariff
			found[tariff.ID] = tariff
			library.PutTariff(library.Next(), rating.TariffKey{CountryCode: tariff.CountryCode, PartyID: tariff.PartyID, ID: tariff.ID}, tariff)
		})
		for _, tariff := range n.Tariffs() {
			if diff := cmp.Diff(tariff, found[tariff.ID]); diff != "" {
				t.Errorf("tariff %s (-network +file):\n%s", tariff.ID, diff)
			}
		}
		zoneOK := func(name string) error { _, err := rating.LoadZone(name); return err }
		read("locations", func(src []byte) {
			entries, report := ocpi.ParseLocations(src, zoneOK)
			if len(report.Faults)+len(report.Warnings) > 0 || len(entries) != 1 || len(entries[0].Report.Faults)+len(entries[0].Report.Warnings) > 0 {
				t.Fatalf("%s: %v %v", src, report, entries)
			}
			l := entries[0].Location
			library.PutLocation(library.Next(), rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}, l)
		})
		contracts := map[string]*rating.Contract{}
		if cfg.MembersPercent > 0 {
			read("tiers", func(src []byte) {
				tier, err := ocpi.ParseTier(src)
				if err != nil {
					t.Fatal(err)
				}
				library.PutTier(library.Next(), rating.TierKey{CountryCode: tier.CountryCode, PartyID: tier.PartyID, ID: tier.ID}, tier)
			})
			for i := range n.Drivers() {
				var c struct{ UID, Tier string }
				if err := json.Unmarshal(n.ContractJSON(nil, i), &c); err != nil {
					t.Fatal(err)
				}
				contracts[c.UID] = &rating.Contract{CountryCode: countryCode, PartyID: partyID, ID: c.UID, Tier: c.Tier}
			}
		}
		kinds := map[string]int{}
		for s := range n.Sessions(cfg.EpochMs + 12*hourMs) {
			contract := contracts[s.Token()]
			kinds[fmt.Sprint(s.Tier(), s.Token() != "", contract != nil)]++
			p, ok := library.Place(library.Next(), s.ChargePoint, s.Connector)
			if !ok {
				t.Fatalf("%s/%d is not in the locations", s.ChargePoint, s.Connector)
			}
			c, reason, ok := library.Choose(library.Next(), s.StartMs, p, rating.Driver{Shown: s.Token() != "", Contract: contract})
			if !ok || c.Tariff.ID != s.Tariff.ID || p.Location.ID != s.SiteID || p.Location.Zone != s.Zone {
				t.Errorf("%s/%d: placed at %v with %v %s, want %s by %s", s.ChargePoint, s.Connector, p, c, reason, s.SiteID, s.Tariff.ID)
			}
			powerMax := p.Connector.MaxPowerW
			for _, pt := range s.Points(nil, s.StartMs+hourMs) {
				if pt.PowerMicroW > powerMax*1_000_000 {
					t.Fatalf("%s/%d draws %d microwatt of %d W", s.ChargePoint, s.Connector, pt.PowerMicroW, powerMax)
				}
			}
		}
		if cfg.MembersPercent > 0 && (len(kinds) != 3 || kinds["membertrue true"] == 0) || cfg.MembersPercent == 0 && len(kinds) != 1 {
			t.Errorf("who charges: %v", kinds)
		}
	}
	f(smallCity(300))
	f(smallBench(200))
	members := smallCity(300)
	members.MembersPercent = 40
	f(members)
}
