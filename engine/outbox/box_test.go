package outbox

import (
	"strings"
	"testing"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// TestBox: what is told of a session says who charged by pseudonym, and what its sheet does not know is left out.
func TestBox(t *testing.T) {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	tariff := &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: "T1", Currency: "EUR", Min: none, Max: none, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
		Elements: []rating.Element{{Restrictions: rating.Unrestricted(), Components: []rating.Component{{Dimension: rating.Energy, PriceNano: 3e8, VAT: 2100, StepSize: 1}}}},
	}
	l := &rating.Location{
		CountryCode: "NL", PartyID: "WTL", ID: "L1", Address: "Dam 1", City: "Amsterdam", Country: "NLD", Latitude: "52.37302", Longitude: "4.89305",
		EVSEs: []rating.EVSE{{UID: "CP1", ID: "NL*WTL*E1", Connectors: []rating.Connector{{ID: "1", Standard: "IEC_62196_T2", Format: "SOCKET", PowerType: "AC_3_PHASE"}}}},
	}
	f := func(flags snapshot.SheetFlags, spoil func(*End), want, without string) {
		t.Helper()
		sheets := slab.NewSheets()
		i := sheets.Take()
		sheets.Push(i, snapshot.NewPeriod(1_750_000_000_000, snapshot.PhaseParking))
		sheets.At(i).Costs[snapshot.CostParking] = snapshot.Cost{Excl: 1_000_000, Incl: 1_210_000}
		if flags != 0 {
			sheets.Clear(i)
			sheets.At(i).Flags = flags
		}
		e := End{
			Session: identity.SessionID{1}, Final: true, Position: 5 << positionBits, Place: Place{l, &l.EVSEs[0], &l.EVSEs[0].Connectors[0]}, Tariff: tariff,
			StartMs: 1_750_000_000_000, EndMs: 1_750_003_600_000, Total: rating.Total{ExclMicros: 1_000_000, InclMicros: 1_210_000, ParkingMs: 3_600_000},
		}
		spoil(&e)
		var b Box
		b.Add(&e, &sheets, i+1)
		var count [NumKinds]int64
		var text strings.Builder
		err := b.Deliver(Source{"readings", 3}, &count, func(_ Kind, msgs []Message) error {
			for _, m := range msgs {
				text.Write(m.Key)
				text.WriteByte(' ')
				text.Write(m.Value)
			}
			return nil
		})
		if err != nil || count[CDR]+count[Reject] != 1 || !strings.Contains(text.String(), want) || without != "" && strings.Contains(text.String(), without) {
			t.Errorf("%v, %v, %s; want %s in it, and not %q", err, count, text.String(), want, without)
		}
	}
	nothing := func(*End) {}
	f(0, nothing, `"uid":"01000000-0000-0000-0000-000000000000","type":"AD_HOC_USER"`, `"remark"`)
	f(0, func(e *End) { e.Pseudonym, e.Contract = rating.Pseudonym{KeyID: 1, Value: [16]byte{15: 0xab}}, "C-7" },
		`"uid":"000000000000000000000000000000ab","type":"OTHER","contract_id":"C-7"`, "AD_HOC_USER")
	f(0, nothing, `"dimensions":[{"type":"PARKING_TIME","volume":1}]`, "")
	f(0, nothing, `"total_parking_cost":{"excl_vat":1.0000,"incl_vat":1.2100}`, "")
	f(snapshot.SheetTrimmed, nothing, `"total_parking_cost":{"excl_vat":1.0000,"incl_vat":1.2100},"remark":"one charging period has everything`, "")
	f(snapshot.SheetPartial, nothing, `"total_parking_time":1,"remark":"one charging period has everything`, "total_parking_cost")
	f(0, func(e *End) { e.NoStop = true }, `"remark":"closed without a stop of the charge point"`, "")
	f(0, func(e *End) { e.Tariff, e.Place, e.Unpriceable = nil, Place{}, "tariff unknown: T9" },
		"readings/3/5/0/01000000-0000-0000-0000-000000000000", "total_energy")
	f(0, func(e *End) { e.Tariff, e.Place, e.Unpriceable = nil, Place{}, "tariff unknown: T9" },
		"no CDR: total_cost: nothing could price the session: tariff unknown: T9", "")
}
