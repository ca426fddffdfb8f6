package loadgen

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/wattline/wattline/rating"
)

// Event is a reading that is sent.
//
// The byte slices of Reading are valid during the call that the event is handed to.
type Event struct {
	// Reading is what was measured. ChargePoint is the key of the record.
	Reading rating.Reading
	// SendMs is when it is sent, ms since 1970 UTC of simulated time: the timestamp of its record. It is AtMs but
	// for readings that come late.
	SendMs int64
	// Partition is that of the charge point.
	Partition int32
	// Duplicate: the same reading was the event before.
	Duplicate bool
}

// Ticks lie in a wheel of so many slots. What is due later than the wheel reaches is looked at once a turn.
const wheelSlots = 64

// Stream is the events of a network, or of some of its partitions, from a simulated time on. It is for one
// goroutine. A Stream over the partitions one by one gives the events of a Stream over all of them.
type Stream struct {
	n        *Network
	stations []int32 // of the partitions asked for, ascending
	first    []int32 // where the cursors of each begin; one more entry than stations
	cursors  []cursor
	plans    []plan   // of the cursors, looked at when a phase or a session ends
	wheel    []uint64 // wheelSlots bitmaps of stations: a slot is walked in their order (L2) at no cost
	words    int
	nowMs    int64 // where the next tick begins
	e        Event
	tx       [24]byte
	token    [24]byte
}

// Stream opens the events from fromMs on, which is floored to a tick (L2) and not before the epoch. Without
// partitions it is of all. It takes a time that grows with the simulated time since the epoch: about a second for
// a year of 2,000 charge points.
func (n *Network) Stream(fromMs int64, partitions ...int32) *Stream {
	s := &Stream{n: n, nowMs: max(n.cfg.EpochMs, fromMs-fromMs%n.cfg.TickMs)}
	for i := range n.stations {
		if len(partitions) > 0 && !slices.Contains(partitions, n.stations[i].partition) {
			continue
		}
		s.stations = append(s.stations, int32(i))
		s.first = append(s.first, int32(len(s.cursors)))
		st := &n.stations[i]
		for c := range int32(st.connectors) {
			var cur cursor
			var pl plan
			n.seek(&cur, &pl, st.firstConnector+c, s.nowMs)
			s.cursors, s.plans = append(s.cursors, cur), append(s.plans, pl)
		}
	}
	s.first = append(s.first, int32(len(s.cursors)))
	s.words = (len(s.stations) + 63) / 64
	s.wheel = make([]uint64, wheelSlots*s.words)
	for i := range s.stations {
		s.await(int32(i))
	}
	return s
}

// seek puts c at the first reading of the connector at or after atMs.
func (n *Network) seek(c *cursor, s *plan, connector int32, atMs int64) {
	for ok := n.firstPlan(s, connector); ; ok = n.followingPlan(s, connector) {
		if !ok {
			c.nextMs = never
			return
		}
		if c.seek(n, s, atMs) {
			return
		}
	}
}

// NowMs is where the next tick begins: all before has been sent. A Stream opened there goes on the same.
func (s *Stream) NowMs() int64 { return s.nowMs }

// Done says that the network has ended: no tick holds an event any more.
func (s *Stream) Done() bool { return s.n.cfg.EndMs != 0 && s.nowMs > s.n.cfg.EndMs }

// await notes in which tick a station is to be looked at again.
func (s *Stream) await(i int32) {
	next := never
	for c := s.first[i]; c < s.first[i+1]; c++ {
		next = min(next, s.cursors[c].nextMs)
	}
	if next == never {
		return
	}
	ahead := min((next-s.nowMs)/s.n.cfg.TickMs, wheelSlots-1)
	slot := int(s.nowMs/s.n.cfg.TickMs+ahead) % wheelSlots
	s.wheel[slot*s.words+int(i>>6)] |= 1 << (i & 63)
}

// Tick hands the events of one tick to send, in order. The event is valid during the call. An error of send ends
// the tick and is returned; the Stream is not to be used any more.
func (s *Stream) Tick(send func(*Event) error) error {
	endMs := s.nowMs + s.n.cfg.TickMs
	slot := int(s.nowMs/s.n.cfg.TickMs) % wheelSlots
	due := s.wheel[slot*s.words:][:s.words]
	for w := range due {
		word := due[w]
		due[w] = 0
		for ; word != 0; word &= word - 1 {
			i := int32(w<<6 | bits.TrailingZeros64(word))
			if err := s.station(i, endMs, send); err != nil {
				return err
			}
			s.await(i)
		}
	}
	s.nowMs = endMs
	return nil
}

// station sends what a charge point measures before endMs, in order of its connectors' clocks.
func (s *Stream) station(i int32, endMs int64, send func(*Event) error) error {
	first, end := s.first[i], s.first[i+1]
	st := &s.n.stations[s.stations[i]]
	for {
		next := first
		for c := first + 1; c < end; c++ {
			if s.cursors[c].nextMs < s.cursors[next].nextMs {
				next = c
			}
		}
		if s.cursors[next].nextMs >= endMs {
			return nil
		}
		if err := s.connector(next, next-first, st, send); err != nil {
			return err
		}
	}
}

// connector sends the reading at cursor i, that of the connector at such a place of the charge point, with its
// duplicate, and moves the cursor on.
func (s *Stream) connector(i, place int32, st *station, send func(*Event) error) error {
	n, c := s.n, &s.cursors[i]
	connector := st.firstConnector + place
	s.e.Reading.Connector = place + 1
	if !n.late(c, connector, c.j) {
		if err := s.emit(c, st, connector, c.j, send); err != nil {
			return err
		}
	}
	if c.j > 0 && n.late(c, connector, c.j-1) {
		if err := s.emit(c, st, connector, c.j-1, send); err != nil {
			return err
		}
	}
	p := &s.plans[i]
	if c.advance(n, p) {
		return nil
	}
	if !n.followingPlan(p, connector) {
		c.nextMs = never
		return nil
	}
	c.begin(n, p)
	return nil
}

// late says whether reading j of the cursor's phase is sent after the one that follows it: one inside a charging
// phase, between two that are not late.
func (n *Network) late(c *cursor, connector, j int32) bool {
	seq := c.seq - c.j + j
	return n.cfg.DisorderPerMillion > 0 && j > 0 && seq&1 == 1 && c.now.state == rating.StateCharging &&
		int64(j+1)*int64(c.everyMs) < int64(c.now.durationMs) &&
		happens(n.cfg.Seed, forDisorder, connector, c.number, seq, n.cfg.DisorderPerMillion)
}

// duplicated says whether reading j of the cursor's phase is sent twice.
func (n *Network) duplicated(c *cursor, connector, j int32) bool {
	return happens(n.cfg.Seed, forDuplicate, connector, c.number, c.seq-c.j+j, n.cfg.DuplicatesPerMillion)
}

func (s *Stream) emit(c *cursor, st *station, connector, j int32, send func(*Event) error) error {
	n, e := s.n, &s.e
	n.read(&e.Reading, c, st, j)
	e.Reading.ChargePoint = n.id(st)
	e.Reading.Transaction = appendTransaction(s.tx[:0], connector, c.number)
	e.Reading.Token = nil
	if n.cfg.MembersPercent > 0 && e.Reading.Kind == rating.KindStart {
		if d := n.driverOf(connector, c.number); d.number >= 0 {
			e.Reading.Token = n.appendToken(s.token[:0], d.number)
		}
	}
	e.SendMs, e.Partition, e.Duplicate = c.nextMs, st.partition, false
	if err := send(e); err != nil {
		return err
	}
	if n.duplicated(c, connector, j) {
		e.Duplicate = true
		return send(e)
	}
	return nil
}

// appendTransaction appends the transaction id of a session: decimal, as OCPP 1.6 has it, unique in the network.
func appendTransaction(dst []byte, connector, number int32) []byte {
	const perConnector = 1_000_000 // a century of sessions
	return strconv.AppendInt(dst, (int64(connector)+1)*perConnector+int64(number), 10)
}

// read makes reading j of the cursor's phase, or the stop. Identities are left alone.
func (n *Network) read(r *rating.Reading, c *cursor, st *station, j int32) {
	ms := int64(j) * int64(c.everyMs)
	r.AtMs = c.phaseAtMs + ms
	r.RegisterMwh = c.registerMwh(ms, int64(st.resolutionMwh))
	r.PowerMicroW, r.CurrentNanoA = rating.Unknown, rating.Unknown
	r.Seq = int64(c.seq - c.j + j)
	r.ResolutionMwh = 0
	if st.resolutionMwh > 1 {
		r.ResolutionMwh = int64(st.resolutionMwh)
	}
	r.Kind, r.State = rating.KindMeter, c.now.state
	switch {
	case c.now.stop:
		r.Kind = rating.KindStop
		return
	case r.Seq == 0:
		r.Kind = rating.KindStart
	}
	if n.cfg.Shape == ShapeCity {
		w := c.now.powerW(ms)
		r.PowerMicroW = w * 1_000_000
		if !st.directCurrent { // the sum over the phases at 230 V, on the milliampere
			r.CurrentNanoA = w * 1_000 / 230 * 1_000_000
		}
	}
}
