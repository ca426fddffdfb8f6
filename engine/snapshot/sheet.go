package snapshot

// Sheet is what the rows of a session add up to, as its CDR shows them: the costs by what they are for, and how many
// charging periods there are. The Periods of all sheets lie elsewhere, in the order of the sheets. Like Session it has no
// pointer.
type Sheet struct {
	Costs   [NumCosts]Cost
	Periods uint32 // how many there are of it
	Last    uint32 // number of the newest period that had rows (rating.Charge.Period)
	Flags   SheetFlags
}

// Cost is a sum of rows, in micros of the session's currency; Excl of those whose excl is known.
type Cost struct{ Excl, Incl int64 }

// What a cost is for: the totals of an OCPI 2.2.1 CDR. What a minimum or maximum price adds is for none of them.
const (
	CostFixed       = iota // total_fixed_cost
	CostEnergy             // total_energy_cost
	CostTime               // total_time_cost
	CostParking            // total_parking_cost
	CostReservation        // total_reservation_cost, its FLAT and its time
	NumCosts
)

// SheetFlags say what a Sheet does not know.
type SheetFlags uint8

// The flags of a Sheet.
const (
	// SheetTrimmed: there were more periods than are kept, and all were given up. Costs are still whole.
	SheetTrimmed SheetFlags = 1 << iota
	// SheetPartial: rows were made before this release: neither costs nor periods are whole.
	SheetPartial
	sheetFlags = iota
)

// Period is a charging period of a session: it ends where the next one begins, the last one at the session's end.
type Period struct {
	StartMs int64
	// mwh is the energy, mWh, times 4, plus the phase: a session has many periods, and there are many sessions.
	mwh int64
}

// Phase is what the time of a Period is filed under.
type Phase uint8

// The phases, by the CdrDimensionType of their time.
const (
	PhaseCharging Phase = iota // TIME
	PhaseParking               // PARKING_TIME
	PhaseReserved              // RESERVATION_TIME
	numPhases
)

// NewPeriod returns a period without energy.
func NewPeriod(startMs int64, phase Phase) Period { return Period{startMs, int64(phase)} }

// EnergyMwh is the energy of the period, mWh.
func (p Period) EnergyMwh() int64 { return p.mwh >> 2 }

// Phase is what the period's time is filed under.
func (p Period) Phase() Phase { return Phase(p.mwh & 3) }

// Add adds energy, mWh.
func (p *Period) Add(mwh int64) { p.mwh += mwh << 2 }

// Enter gives the period its phase.
func (p *Period) Enter(phase Phase) { p.mwh = p.mwh&^3 | int64(phase) }

// Least encoded sizes.
const (
	minSheet  = 1 + 4 + 4 + 1
	minPeriod = 16
)

func (w *writer) sheet(s *Sheet) {
	w.u8(uint8(s.Flags))
	w.u32(s.Last)
	w.u32(s.Periods)
	mask := uint8(0)
	for i := range s.Costs {
		if s.Costs[i] != (Cost{}) {
			mask |= 1 << i
		}
	}
	w.u8(mask)
	for i := range s.Costs {
		if mask&(1<<i) != 0 {
			w.i64(s.Costs[i].Excl)
			w.i64(s.Costs[i].Incl)
		}
	}
}

func (r *reader) sheet() Sheet {
	s := Sheet{Flags: SheetFlags(r.u8()), Last: r.u32(), Periods: r.u32()}
	mask := r.u8()
	if s.Flags >= 1<<sheetFlags || mask >= 1<<NumCosts {
		r.fail("a sheet of flags %d and costs %d", s.Flags, mask)
		return s
	}
	for i := range s.Costs {
		if mask&(1<<i) == 0 {
			continue
		}
		if s.Costs[i] = (Cost{r.i64(), r.i64()}); s.Costs[i] == (Cost{}) {
			r.fail("a cost of nothing")
		}
	}
	return s
}

func (w *writer) period(p *Period) {
	w.i64(p.StartMs)
	w.i64(p.mwh)
}

func (r *reader) period() Period {
	p := Period{r.i64(), r.i64()}
	if p.Phase() >= numPhases {
		r.fail("%d is no phase", p.Phase())
	}
	return p
}

// sheets reads the sheets of all sessions and their periods, and checks that they fit together.
func (r *reader) sheets(st *State) {
	st.Sheets = list(r, minSheet, r.sheet)
	st.Periods = list(r, minPeriod, r.period)
	next, periods := uint32(1), uint64(0)
	for i := range st.Sessions {
		if n := &st.Sessions[i].Sheet; *n == next {
			next++
		} else if *n != 0 {
			r.fail("session %d has sheet %d, the next one is %d", i, *n, next)
			return
		}
	}
	for i := range st.Sheets {
		periods += uint64(st.Sheets[i].Periods)
	}
	if int(next-1) != len(st.Sheets) || periods != uint64(len(st.Periods)) {
		r.fail("%d sheets of %d sessions, %d periods of %d", len(st.Sheets), next-1, len(st.Periods), periods)
	}
}

// partial gives the priced sessions of a snapshot of the version before, which had no sheets, one that says so.
func (st *State) partial() {
	for i := range st.Sessions {
		if s := &st.Sessions[i]; s.Priced() {
			st.Sheets = append(st.Sheets, Sheet{Flags: SheetPartial})
			s.Sheet = uint32(len(st.Sheets))
		}
	}
}
