package engine

import (
	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/reject"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// emit appends the rows of charges to the block, in the order in which the pricer made them. Positions and lines
// depend on the readings alone, never on where the block ends (I3).
func (s *shard) emit(ss *snapshot.Session, charges []rating.Charge) {
	if len(charges) == 0 {
		return
	}
	if ss.Version != s.position {
		ss.Lines = 0
	}
	excl, incl, energy := int64(0), int64(0), int64(0)
	for i := range charges {
		c := &charges[i]
		if !c.ExclUnknown {
			excl += c.ExclMicros
		}
		incl += c.InclMicros
		if c.Kind == rating.ChargeUsage {
			energy += c.EnergyMwh
		}
	}
	if ss.Sheet == 0 {
		ss.Sheet = s.sheets.Take() + 1
	}
	outbox.Add(&s.sheets, ss.Sheet-1, charges, s.plans.Info[ss.Plan].plan.Tariff(), &ss.Rate)
	ss.RowsExcl += excl
	ss.RowsIncl += incl
	s.stats.InclMicros.Add(incl)
	s.stats.EnergyMwh.Add(energy)
	if s.mute {
		ss.Lines += int64(len(charges))
		ss.Version = s.position
		return
	}
	plan, place := &s.plans.Info[ss.Plan], &s.places.Info[ss.Place]
	id, name := identity.Of(s.source, ss), s.names.List[ss.ChargePoint]
	for i := range charges {
		rows := s.block.charges(s.block.month.of(charges[i].FromMs))
		j := rows.grow()
		rows.Position[j], rows.Line[j], rows.SessionID[j] = s.position, uint16(ss.Lines), id
		rows.ChargePoint[j], rows.Connector[j], rows.Location[j] = name, ss.Connector, place.Location
		rows.Tariff[j], rows.Currency[j], rows.Tier[j] = plan.tariff, plan.currency, s.tiers.Ref[ss.Driver.Tier]
		rows.Charge[j] = charges[i]
		ss.Lines++
	}
	ss.Version = s.position
	s.block.rows += len(charges)
}

// version writes a row of table sessions: what the session is and costs by now.
func (s *shard) version(ss *snapshot.Session) {
	if s.mute {
		s.stamp(ss)
		return
	}
	s.versionOf(ss, s.total(ss))
}

// total is what the session costs if it ended at its last reading.
func (s *shard) total(ss *snapshot.Session) rating.Total {
	switch {
	case ss.Plan == 0 || ss.Rate.LastMwh == rating.Unknown:
		t := rating.Total{}
		if ss.Rate.LastMwh != rating.Unknown {
			t.EnergyMwh = ss.Rate.LastMwh - ss.Rate.StartMwh
		}
		return t
	case SessionStatus(ss.Status) == StatusProvisional || SessionStatus(ss.Status) == StatusCompleted:
		t := s.plans.Info[ss.Plan].plan.Accrued(&ss.Rate)
		t.ExclMicros, t.InclMicros = ss.RowsExcl, ss.RowsIncl // settled: the sum of its rows
		return t
	}
	return s.plans.Info[ss.Plan].plan.PriceNow(&ss.Rate)
}

func (s *shard) stamp(ss *snapshot.Session) {
	if ss.Version != s.position {
		ss.Version, ss.Lines = s.position, 0
	}
}

// versionOf is version with the total given. A session has one row a position: a later one replaces it.
func (s *shard) versionOf(ss *snapshot.Session, total rating.Total) {
	if total.Overflow { // beyond 2^62 micros: no charging session costs that
		ss.Flags |= uint32(FlagImpossible)
	}
	again := ss.Version == s.position
	s.stamp(ss)
	if s.mute {
		return
	}
	id := identity.Of(s.source, ss)
	rows := s.block.sessions(s.block.month.of(ss.Rate.FirstMs))
	i := len(rows.Version)
	if again {
		i = rows.find(id, s.position)
	}
	if i == len(rows.Version) {
		rows.grow()
		s.block.rows++
	}
	rows.Version[i], rows.SessionID[i] = s.position, id
	rows.ChargePoint[i], rows.Connector[i] = s.names.List[ss.ChargePoint], ss.Connector
	rows.Transaction[i] = s.block.keep(ss.Transaction())
	rows.Location[i], rows.Tariff[i], rows.TariffFrom[i], rows.Currency[i], rows.Zone[i] = "", "", rating.Unknown, "", ""
	if ss.Plan != 0 {
		ref := &s.plans.Ref[ss.Plan]
		rows.Location[i], rows.Tariff[i] = s.places.Info[ss.Place].Location, s.plans.Info[ss.Plan].tariff
		rows.TariffFrom[i], rows.Currency[i], rows.Zone[i] = ref.Offset, s.plans.Info[ss.Plan].currency, ref.Zone
	}
	rows.Pseudonym[i], rows.TokenKey[i] = ss.Driver.Value, ss.Driver.KeyID
	rows.Contract[i], rows.Tier[i] = s.block.keep(ss.Driver.Contract()), s.tiers.Ref[ss.Driver.Tier]
	rows.Status[i] = SessionStatus(ss.Status)
	rows.StartMs[i], rows.LastMs[i] = ss.Rate.FirstMs, ss.Rate.LastMs
	rows.StartMwh[i], rows.LastMwh[i] = ss.Rate.StartMwh, ss.Rate.LastMwh
	if ss.Rate.LastMwh == rating.Unknown {
		rows.StartMwh[i], rows.LastMwh[i] = 0, 0
	}
	rows.Total[i] = total
	rows.AccruedExcl[i], rows.AccruedIncl[i] = ss.RowsExcl, ss.RowsIncl
	rows.Flags[i] = SessionFlags(ss.Flags) &^ flagUnitGuessed
	rows.Readings[i], rows.FirstOffset[i] = ss.Readings, ss.FirstOffset
	rows.HeldReason[i] = ""
	if h := s.held[ss.Key]; h != nil {
		rows.HeldReason[i] = h.Reason
	}
}

// find returns the row of a session at a version, or the number of rows when it has none.
func (r *SessionRows) find(id [16]byte, version int64) int {
	for i := len(r.Version) - 1; i >= 0 && r.Version[i] == version; i-- {
		if r.SessionID[i] == id {
			return i
		}
	}
	return len(r.Version)
}

// rejectMessage is the record for topic wattline.rejects (package reject): coordinates and reason. whole says that the
// message itself goes along, which nobody sees in clear.
func rejectMessage(p Partition, rec *Record, index int64, reason string, ofDecoder, whole bool) Message {
	c := reject.Coordinates{Topic: p.Topic, Partition: p.Number, Offset: rec.Offset, Index: index}
	m := Message{
		Key: c.AppendKey(nil), Value: c.AppendValue(nil, rec.TimestampMs, reject.Clean(reason, ofDecoder)), ContentType: reject.ContentType,
		TimestampMs: rec.TimestampMs, source: rec.Offset<<positionBits + index,
	}
	if whole {
		m.Private = reject.AppendOriginal(nil, reason, rec.ContentType, rec.Key, rec.Value)
	}
	return m
}
