package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
)

// final is what the ledger says of a session, all of which have ended.
type final struct {
	energyMwh, inclMicros, exclMicros int64
	exclUnknown                       bool // then it has no CDR, and a reject says so
}

const finalQuery = `SELECT toString(session_id), toInt64(energy_kwh * 1000000), toInt64(incl * 1000000), ifNull(toString(toInt64(excl * 1000000)), '')
	FROM sessions_latest FORMAT TSV`

// finals asks the ledger for every session, by id.
func (w *world) finals(ctx context.Context) (map[string]final, error) {
	out, err := w.ask(ctx, finalQuery)
	if err != nil {
		return nil, err
	}
	all := map[string]final{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("%q has not four fields", line)
		}
		var s final
		var errs [3]error
		s.energyMwh, errs[0] = strconv.ParseInt(f[1], 10, 64)
		s.inclMicros, errs[1] = strconv.ParseInt(f[2], 10, 64)
		if s.exclUnknown = f[3] == ""; !s.exclUnknown {
			s.exclMicros, errs[2] = strconv.ParseInt(f[3], 10, 64)
		}
		for _, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
		all[f[0]] = s
	}
	return all, nil
}

// told is what the judge reads of a CDR.
type told struct {
	ID        string      `json:"id"`
	Energy    json.Number `json:"total_energy"`
	TotalCost struct {
		Excl json.Number `json:"excl_vat"`
		Incl json.Number `json:"incl_vat"`
	} `json:"total_cost"`
}

// checkCDRs: every session whose price is known has its CDR, doubles are equal to the byte, and totals are those of the
// ledger.
func (w *world) checkCDRs(ctx context.Context, client *kafka.Client, sessions map[string]final) (string, error) {
	found := map[string][]byte{}
	total := 0
	for p := range int32(partitions) {
		_, err := client.ReadLog(ctx, cdrsTopic, p, 0, func(r engine.Record) error {
			total++
			id := string(r.Key)
			if before, again := found[id]; again {
				if !bytes.Equal(before, r.Value) {
					w.log.fail("CDR %s was made twice, and differently: %s and %s", id, before, r.Value)
				}
				return nil
			}
			found[id] = bytes.Clone(r.Value)
			s, ok := sessions[id]
			if !ok {
				w.log.fail("there is a CDR of session %s, which is not in sessions_latest", id)
				return nil
			}
			w.checkCDR(id, r.Value, &s)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("read %s/%d: %w", cdrsTopic, p, err)
		}
	}
	missing := 0
	for id, s := range sessions {
		if _, ok := found[id]; !ok && !s.exclUnknown {
			missing++
		}
	}
	if missing > 0 {
		w.log.fail("LOST: %d of %d sessions have no CDR", missing, len(sessions))
	}
	return fmt.Sprintf("%d, %d different", total, len(found)), nil
}

func (w *world) checkCDR(id string, value []byte, s *final) {
	var c told
	if err := json.Unmarshal(value, &c); err != nil {
		w.log.fail("CDR %s cannot be read: %v", id, err)
		return
	}
	for _, f := range []struct {
		what      string
		got, want string
	}{
		{"id", c.ID, id},
		{"total_energy", c.Energy.String(), decimal(s.energyMwh, 6)},
		{"total_cost.excl_vat", c.TotalCost.Excl.String(), fourDecimals(s.exclMicros)},
		{"total_cost.incl_vat", c.TotalCost.Incl.String(), fourDecimals(s.inclMicros)},
	} {
		if f.got != f.want {
			w.log.fail("CDR %s: %s is %s, the ledger has %s", id, f.what, f.got, f.want)
		}
	}
}

// fourDecimals rounds micros half up, and writes all four. Nothing here is negative.
func fourDecimals(micros int64) string {
	v := (micros + 50) / 100
	return fmt.Sprintf("%d.%04d", v/10_000, v%10_000)
}

// decimal is v / 10^digits without zeros at the end.
func decimal(v int64, digits int) string {
	text := fmt.Sprintf("%0*d", digits+1, v)
	return strings.TrimSuffix(strings.TrimRight(text[:len(text)-digits]+"."+text[len(text)-digits:], "0"), ".")
}

// price is what the judge reads of a price.
type price struct {
	Offset    int64  `json:"offset"`
	Status    string `json:"status"`
	EnergyMwh int64  `json:"energy_mwh"`
	Incl      string `json:"incl"`
}

// checkPrices: of each session the greatest offset that is still there and says that it has ended has the price of the
// ledger, none is beyond it, and every session has its tombstone. Compaction may have taken any price.
func (w *world) checkPrices(ctx context.Context, client *kafka.Client, sessions map[string]final) (string, error) {
	last, buried := map[string]price{}, map[string]bool{}
	total := 0
	for p := range int32(partitions) {
		_, err := client.ReadLog(ctx, pricesTopic, p, 0, func(r engine.Record) error {
			id := string(r.Key)
			total++
			if r.Value == nil {
				buried[id] = true
				return nil
			}
			var now price
			if err := json.Unmarshal(r.Value, &now); err != nil {
				w.log.fail("price of %s cannot be read: %v: %s", id, err, r.Value)
				return nil
			}
			if was, ok := last[id]; !ok || now.Offset > was.Offset || now.Offset == was.Offset && now.Status == "COMPLETED" {
				last[id] = now
			}
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("read %s/%d: %w", pricesTopic, p, err)
		}
	}
	ended := 0
	for id, now := range last {
		s, ok := sessions[id]
		switch {
		case !ok:
			w.log.fail("there is a price of session %s, which is not in sessions_latest", id)
		case now.Status != "COMPLETED": // its last one was compacted away behind a straggler, or all but this
		case now.EnergyMwh != s.energyMwh || now.Incl != fixed(s.inclMicros):
			w.log.fail("the last price of %s is %d mWh, %s; the ledger has %d mWh, %s", id, now.EnergyMwh, now.Incl, s.energyMwh, fixed(s.inclMicros))
		default:
			ended++
		}
	}
	missing := 0
	for id := range sessions {
		if !buried[id] {
			missing++
		}
	}
	if missing > 0 {
		w.log.fail("LOST: %d of %d sessions have no tombstone among the prices", missing, len(sessions))
	}
	return fmt.Sprintf("%d, the last of %d sessions equal to the ledger", total, ended), nil
}

// fixed is an amount of micros with 6 decimals.
func fixed(micros int64) string { return fmt.Sprintf("%d.%06d", micros/1_000_000, micros%1_000_000) }
