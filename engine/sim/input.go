package sim

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

const (
	t0       = int64(1_750_000_000_000) // 2025-06-15T15:06:40Z: the first message
	minuteMs = int64(60_000)
	kwh      = int64(1_000_000) // mWh
	topic    = "readings"
	zoneName = "Europe/Amsterdam"
)

// input is what the world is told: messages of chargers, and records of the reference log, both at their time.
type input struct {
	rnd      *rand.Rand
	who      *rand.Rand // of drivers
	keyed    bool       // the reference log has keys of pseudonyms
	plan     *Plan
	readings []rating.Reading // what messages point to
	sent     []sent
	refs     []dated
	truth    map[string]*truth // transaction -> what happened, of sessions that nothing was done to
	tx       int
}

// sent is a message on its way.
type sent struct {
	recordMs  int64
	at        time.Duration // of the run
	partition int32
	value     []byte
	kind      []byte // content type
}

// dated is a record of the reference log.
type dated struct {
	at  time.Duration
	rec engine.ReferenceRecord
}

// truth is a session as it was.
type truth struct {
	points []rating.Point
	token  int // the driver's, shown at the start; -1: none
}

// newInput makes the input of a plan.
func newInput(p *Plan) *input {
	in := &input{rnd: rand.New(rand.NewPCG(p.Seed, 1)), who: rand.New(rand.NewPCG(p.Seed, 2)), plan: p, truth: map[string]*truth{}}
	in.network()
	for i := range p.Chargers {
		in.charger(i)
	}
	slices.SortStableFunc(in.sent, func(a, b sent) int { return cmp.Compare(a.recordMs, b.recordMs) })
	in.disturb()
	if len(in.sent) > p.Messages {
		in.sent = in.sent[:p.Messages]
	}
	in.schedule()
	return in
}

// network makes the reference log: what is there from the beginning, what comes late, what changes.
func (in *input) network() {
	key := engine.HashKey{1, 2, 3}
	in.refs = append(in.refs, dated{rec: engine.ReferenceRecord{HashKey: &key}})
	in.tariff(0, "T1")
	in.tariff(0, "T2")
	late := 0
	for i := range in.plan.Chargers {
		at := time.Duration(0)
		if in.rnd.IntN(4) == 0 && late < 2 { // its sessions are held until then
			at = in.moment()
			late++
		}
		in.location(at, i)
	}
	for range in.rnd.IntN(5) {
		if in.rnd.IntN(3) == 0 {
			in.location(in.moment(), in.rnd.IntN(in.plan.Chargers))
		} else {
			in.tariff(in.moment(), []string{"T1", "T2"}[in.rnd.IntN(2)])
		}
	}
	in.drivers()
	slices.SortStableFunc(in.refs, func(a, b dated) int { return cmp.Compare(a.at, b.at) })
}

// moment is some time in the run.
func (in *input) moment() time.Duration {
	return time.Duration(in.rnd.Int64N(int64(in.plan.Span)))
}

// tariff publishes a new version of a tariff: a price by day, one from 16:00, parking, and limits now and then.
func (in *input) tariff(at time.Duration, id string) {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	from16 := rating.Unrestricted()
	from16.StartTimeMin = 16 * 60
	parts := func() []rating.Component {
		return []rating.Component{
			{Dimension: rating.Energy, PriceNano: 1_000_000 * (200 + in.rnd.Int64N(300)), VAT: 2100, StepSize: 1},
			{Dimension: rating.ParkingTime, PriceNano: 1_000_000_000, VAT: 2100, StepSize: 60},
		}
	}
	t := &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: id, Currency: "EUR", Min: none, Max: none,
		Elements: []rating.Element{
			{Components: parts(), Restrictions: from16},
			{Components: parts(), Restrictions: rating.Unrestricted()},
		},
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
	}
	if id == "T2" {
		t.Elements[1].Components = append(t.Elements[1].Components,
			rating.Component{Dimension: rating.Flat, PriceNano: 350_000_000, VAT: 900, StepSize: 1},
			rating.Component{Dimension: rating.Time, PriceNano: 600_000_000, VAT: 2100, StepSize: 300})
	}
	in.refs = append(in.refs, dated{at, engine.ReferenceRecord{
		TariffKey: rating.TariffKey{CountryCode: "NL", PartyID: "WTL", ID: id}, Tariff: t,
	}})
}

// location publishes where a charger is and what it costs there.
func (in *input) location(at time.Duration, i int) {
	id := fmt.Sprintf("L%d", i)
	e := rating.EVSE{UID: chargePoint(i), ID: "NL*WTL*E" + chargePoint(i)}
	for _, c := range []string{"1", "2"} {
		e.Connectors = append(e.Connectors, rating.Connector{
			ID: c, MaxPowerW: 22_000, TariffIDs: []string{[]string{"T1", "T2"}[in.rnd.IntN(2)]},
			Standard: "IEC_62196_T2", Format: "SOCKET", PowerType: "AC_3_PHASE",
		})
	}
	l := &rating.Location{
		CountryCode: "NL", PartyID: "WTL", ID: id, Zone: zoneName, Country: "NLD", LastUpdatedMs: rating.Unknown, EVSEs: []rating.EVSE{e},
		Address: "Dam 1", City: "Amsterdam", Latitude: "52.37302", Longitude: "4.89305",
	}
	if i%4 == 3 {
		l.Address = "" // so its sessions have no CDR
	}
	in.refs = append(in.refs, dated{at, engine.ReferenceRecord{
		LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: id}, Location: l,
	}})
}

func chargePoint(i int) string { return fmt.Sprintf("CP%d", i) }

// charger makes the sessions of one charger, one after the other.
func (in *input) charger(i int) {
	s := session{in: in, cp: chargePoint(i), partition: int32(i % in.plan.Partitions), at: t0 + in.rnd.Int64N(30*minuteMs), reg: in.rnd.Int64N(1000) * kwh}
	for range 3 + in.rnd.IntN(5) {
		s.conn = int32(1 + in.rnd.IntN(2))
		in.tx++
		s.tx, s.seq, s.clean = fmt.Sprint(in.tx), 0, true
		s.points = nil
		s.driver()
		token := s.token
		if in.rnd.IntN(3) == 0 {
			s.ocpp()
		} else {
			s.plain()
		}
		if s.clean && !s.spoilt {
			in.truth[s.tx] = &truth{points: s.points, token: token}
		}
		s.at += in.rnd.Int64N(40 * minuteMs)
		if in.rnd.IntN(8) == 0 {
			s.at += 2 * 60 * minuteMs // long enough for time-outs
		}
	}
}

// session is a charger's session as it is made.
type session struct {
	in        *input
	cp, tx    string
	partition int32
	conn      int32
	at, reg   int64
	seq       int64
	sentMs    int64 // record time of the message sent last
	state     rating.ChargeState
	points    []rating.Point
	token     int  // of the driver, -1: none
	late      int  // of a driver whose token comes later
	clean     bool // nothing was done to it
	spoilt    bool // something was done to the charger's sessions from here on
}

// plain is a session whose messages name everything, some of them in packs.
func (s *session) plain() {
	rnd := s.in.rnd
	s.state = rating.StateCharging
	s.send(s.named(s.reading(rating.KindStart, s.tx, s.state)))
	var pack []rating.Reading
	packed := rnd.IntN(3) == 0
	for range 3 + rnd.IntN(10) {
		s.step()
		st := []rating.ChargeState{0, 0, 0, rating.StateSuspendedEV, rating.StateCharging}[rnd.IntN(5)]
		pack = append(pack, s.namedLate(s.reading(rating.KindMeter, s.tx, st)))
		if packed && len(pack) < 4 && rnd.IntN(3) > 0 {
			continue
		}
		s.send(pack...)
		pack = pack[:0]
	}
	if len(pack) > 0 {
		s.send(pack...)
	}
	s.step()
	if rnd.IntN(6) == 0 { // no Stop: the watermark or the next Start ends it
		s.clean = false
		return
	}
	s.send(s.reading(rating.KindStop, s.tx, 0))
}

// ocpp is a session whose Start gets its transaction by an answer, without sequence numbers.
func (s *session) ocpp() {
	rnd := s.in.rnd
	s.seq, s.state = rating.Unknown, rating.StateCharging
	msg := []byte("m" + s.tx)
	start := s.reading(rating.KindStart, "", 0)
	start.MessageID = msg
	start = s.named(start)
	s.send(start)
	answer := rating.Reading{
		Kind: rating.KindAnswer, AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
		Seq: rating.Unknown, ChargePoint: []byte(s.cp), Transaction: []byte(s.tx), MessageID: msg,
	}
	if rnd.IntN(8) > 0 {
		s.send(answer)
	} else {
		s.clean = false // the first meter message names it
	}
	for range 3 + rnd.IntN(10) {
		s.step()
		if rnd.IntN(6) == 0 {
			st := s.reading(rating.KindStatus, "", []rating.ChargeState{rating.StateSuspendedEV, rating.StateCharging}[rnd.IntN(2)])
			st.RegisterMwh = rating.Unknown
			s.clean = false // a change of state between two registers
			s.send(st)
			continue
		}
		s.send(s.reading(rating.KindMeter, s.tx, 0))
	}
	s.step()
	stop := s.reading(rating.KindStop, s.tx, 0)
	stop.Connector = 0
	s.send(stop)
}

// step lets the charger's time and register go on.
func (s *session) step() {
	s.at += 1000 + s.in.rnd.Int64N(6*minuteMs)
	s.reg += s.in.rnd.Int64N(kwh)
}

// reading is what the charger measures now; it is noted as true.
func (s *session) reading(k rating.Kind, tx string, st rating.ChargeState) rating.Reading {
	if st != rating.StateUnchanged {
		s.state = st
	}
	s.points = append(s.points, rating.Point{AtMs: s.at, RegisterMwh: s.reg, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, State: s.state})
	r := rating.Reading{
		Kind: k, AtMs: s.at, RegisterMwh: s.reg, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: s.seq, State: st,
		Connector: s.conn, ChargePoint: []byte(s.cp), Transaction: []byte(tx),
	}
	if s.seq != rating.Unknown {
		s.seq++
	}
	return r
}

// send sends a message with the readings rs, and spoils it now and then.
func (s *session) send(rs ...rating.Reading) {
	rnd := s.in.rnd
	rs = slices.Clone(rs)
	recordMs := s.at + 1000 + rnd.Int64N(5000)
	switch rnd.IntN(60) {
	case 0: // a glitch
		rs[0].RegisterMwh -= min(rs[0].RegisterMwh, 5*kwh)
		s.clean = false
	case 1: // it is never sent
		s.clean = false
		return
	case 2: // a wrong clock, hours ahead: the sessions after it have their troubles with it, too
		rs[0].AtMs += 5 * 60 * minuteMs
		s.clean, s.spoilt = false, true
	case 3: // it comes much later
		recordMs += rnd.Int64N(90 * minuteMs)
		s.clean, s.spoilt = false, true
	case 4:
		rs[0].AtMs = 0 // a clock that was never set: a reject
		s.clean = false
	}
	if recordMs < s.sentMs {
		s.clean = false // it overtakes another
	}
	s.sentMs = max(s.sentMs, recordMs)
	m := sent{recordMs: recordMs, partition: s.partition, value: s.in.value(rs)}
	s.in.sent = append(s.in.sent, m)
	if rnd.IntN(12) == 0 { // again, soon or much later
		m.recordMs += rnd.Int64N([]int64{5_000, 60 * minuteMs}[rnd.IntN(2)])
		s.in.sent = append(s.in.sent, m)
		if s.seq == rating.Unknown || rs[0].Kind != rating.KindMeter {
			s.clean = false
		}
	}
}

// value keeps the readings and returns what names them: the decoder of the run finds them again.
func (in *input) value(rs []rating.Reading) []byte {
	var v []byte
	for _, r := range rs {
		v = binary.BigEndian.AppendUint32(v, uint32(len(in.readings)))
		in.readings = append(in.readings, r)
	}
	return v
}

// disturb puts messages among the others that nobody can use.
func (in *input) disturb() {
	for i := range in.sent {
		if in.rnd.IntN(40) != 0 {
			continue
		}
		m := in.sent[i]
		switch in.rnd.IntN(3) {
		case 0:
			m.value = []byte("{")
		case 1:
			m.kind = []byte("text/poison")
		default: // a Stop of nobody, whose pack has a usable reading behind it
			bad := rating.Reading{
				Kind: rating.KindStop, AtMs: m.recordMs - 500, RegisterMwh: kwh, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
				Seq: rating.Unknown, ChargePoint: []byte("CPX"), Transaction: []byte("nobody"), Connector: 1,
			}
			m.value = in.value([]rating.Reading{bad, bad})
		}
		in.sent = append(in.sent, m)
	}
	slices.SortStableFunc(in.sent, func(a, b sent) int { return cmp.Compare(a.recordMs, b.recordMs) })
}

// schedule says when messages come: in bursts over the plan's span.
func (in *input) schedule() {
	bursts := 1 + in.rnd.IntN(60)
	// Producers' clocks go back, one for a message, one for a while: the watermark does not.
	from, to := 0, 0
	if in.rnd.IntN(2) == 0 {
		from = in.rnd.IntN(len(in.sent))
		to = from + len(in.sent)/3
	}
	for i := range in.sent {
		switch {
		case i >= from && i < to:
			in.sent[i].recordMs -= 3 * 60 * minuteMs
		case in.rnd.IntN(15) == 0:
			in.sent[i].recordMs -= in.rnd.Int64N(10 * minuteMs)
		}
		in.sent[i].at = in.plan.Span * time.Duration(i*bursts/len(in.sent)) / time.Duration(bursts)
	}
}

var errPoison = errors.New("not a message of the simulation")

// decode is the simulation's wire format: numbers of readings, 4 bytes each.
func (in *input) decode(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	if len(value)%4 != 0 {
		return dst, errPoison
	}
	for ; len(value) > 0; value = value[4:] {
		i := binary.BigEndian.Uint32(value)
		if int(i) >= len(in.readings) {
			return dst, errPoison
		}
		dst = append(dst, in.readings[i])
	}
	return dst, nil
}

// decoder picks decode for all but one content type.
func (in *input) decoder(_ string, contentType []byte) engine.Decode {
	if contentType != nil {
		return nil
	}
	return in.decode
}

// decodeReference is the format of the reference log: the number of the record.
func (in *input) decodeReference(_, value []byte) (engine.ReferenceRecord, error) {
	if len(value) != 4 {
		return engine.ReferenceRecord{}, errPoison
	}
	return in.refs[binary.BigEndian.Uint32(value)].rec, nil
}
