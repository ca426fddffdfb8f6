package ocpi

import "github.com/wattline/wattline/rating"

// Scales of readings.
const (
	whDigits   = 3 // Wh -> mWh
	wattDigits = 6 // W -> µW
)

// PriceFile is what a file of `wattline price` holds (EXACTNESS section 5).
type PriceFile struct {
	Tariffs  []TariffEntry // below `tariffs:`, in the order of the file
	Sessions []Session     // below `sessions:`, then those below `vectors:`, in the order of the file
}

// Session is one session to price.
type Session struct {
	ID       string         // "" when faulty
	Path     string         // where it stands in the file: sessions[3]
	TariffID string         // a key below `tariffs:`, of this file or of one beside it
	Zone     string         // IANA name; UTC if the file says none
	Points   []rating.Point // in order of time; the first is the start, the last the end
	Expect   Expect
	Report   Report // with faults, only ID and Path are good
}

// Expect is what a file says a session costs. An amount is compared at the number of decimals it shows.
type Expect struct {
	Excl, Incl Amount
	EnergyMwh  int64 // rating.Unknown if the file does not say
}

// Any says whether there is anything to compare.
func (e Expect) Any() bool {
	return e.Excl.Given || e.Incl.Given || e.EnergyMwh != rating.Unknown
}

// Amount is an expected amount.
type Amount struct {
	Given    bool   // the key is there
	Null     bool   // and says null: the amount must be unknown
	Text     string // the decimal, with exactly Decimals fraction digits
	Decimals int
}

// ParsePriceFile reads a file of `wattline price`. The report is of the file: a faulty tariff makes the file
// faulty, a faulty session only itself. zoneOK says whether a zone is known (rating.LoadZone's error), nil checks
// nothing. nil when the report has faults (O5). src is not kept.
func ParsePriceFile(src []byte, zoneOK func(name string) error) (*PriceFile, Report) {
	r := &reader{zoneOK: zoneOK}
	root := r.parseTree(src)
	if root == nil || len(r.rep.Faults) > 0 || !r.object(root) {
		return nil, r.rep
	}
	file := &PriceFile{}
	tariffs, sessions, vectors := root.get("tariffs"), root.get("sessions"), root.get("vectors")
	if tariffs == nil && sessions == nil && vectors == nil {
		r.fault(root, "has none of tariffs, sessions and vectors")
	}
	if tariffs != nil {
		file.Tariffs = r.namedTariffs(tariffs, false)
		for i := range file.Tariffs {
			r.rep.add(&file.Tariffs[i].Report)
		}
	}
	seen := map[string]bool{}
	if sessions != nil && r.list(sessions) {
		for _, item := range sessions.items {
			file.Sessions = append(file.Sessions, readSession(item, zoneOK, seen, (*reader).readings))
		}
	}
	if vectors != nil && r.list(vectors) {
		for _, item := range vectors.items {
			file.Sessions = append(file.Sessions, readSession(item, zoneOK, seen, (*reader).periods))
		}
	}
	r.unknownFields(root, r.warn, "tariffs", "sessions", "vectors")
	if len(r.rep.Faults) > 0 {
		return nil, r.rep
	}
	return file, r.rep
}

// readSession reads what sessions and vectors share; points reads what they do not. seen are the ids of the file so
// far.
func readSession(n *node, zoneOK func(string) error, seen map[string]bool, points func(*reader, *node) []rating.Point) Session {
	r := &reader{zoneOK: zoneOK}
	s := Session{Path: n.path(), Zone: "UTC", Expect: Expect{EnergyMwh: rating.Unknown}}
	if r.object(n) {
		s.ID = r.needText(n, "id")
		if s.ID != "" && seen[s.ID] {
			r.fault(n.get("id"), "%s is the id of a session before it", n.get("id").what())
		}
		seen[s.ID] = true
		s.TariffID = r.needText(n, "tariff")
		if f := n.get("tz"); f != nil {
			s.Zone = r.needText(n, "tz")
			if s.Zone != "" && zoneOK != nil && zoneOK(s.Zone) != nil {
				r.fault(f, "%s is not a time zone that is known here", f.what())
			}
		}
		s.Points = points(r, n)
		s.Expect = r.expect(n.get("expect"))
	}
	s.Report = r.rep
	if len(r.rep.Faults) > 0 {
		s.Points = nil
	}
	return s
}

func (r *reader) readings(n *node) []rating.Point {
	r.unknownFields(n, r.warn, "id", "tariff", "tz", "readings", "expect")
	list := n.get("readings")
	if list == nil {
		r.fault(n, "readings is missing")
		return nil
	}
	if !r.list(list) {
		return nil
	}
	if len(list.items) == 0 {
		r.fault(list, "there is no reading")
	}
	points := make([]rating.Point, len(list.items))
	for i, item := range list.items {
		points[i] = r.reading(item)
	}
	if len(r.rep.Faults) == 0 {
		r.clean(list, points)
	}
	return points
}

func (r *reader) reading(n *node) rating.Point {
	p := rating.Point{PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown}
	if !r.object(n) {
		return p
	}
	if at := n.get("at"); at == nil {
		r.fault(n, "at is missing")
	} else {
		p.AtMs = r.exactInstant(at)
	}
	if f := n.get("energy_wh"); f == nil {
		r.fault(n, "energy_wh is missing")
	} else if d, ok := r.decimalOf(f); ok {
		if p.RegisterMwh, ok = r.register(f, d); !ok {
			return p
		}
	}
	if f := n.get("state"); f == nil {
		r.fault(n, "state is missing")
	} else if p.State = stateOf(f.text); f.kind != kindText || p.State == rating.StateUnchanged {
		r.fault(f, "%s is not a state", f.what())
	}
	if f := n.get("power_w"); f != nil {
		if v, ok := r.fixed(f, wattDigits, "a microwatt"); ok {
			p.PowerMicroW = v
		}
	}
	if f := n.get("current_a"); f != nil {
		if v, ok := r.fixed(f, ampDigits, "9 fraction digits"); ok {
			p.CurrentNanoA = v
		}
	}
	r.unknownFields(n, r.warn, "at", "energy_wh", "state", "power_w", "current_a")
	return p
}

// register puts a reading on the grid, half up (EXACTNESS 1).
func (r *reader) register(n *node, d decimal) (int64, bool) {
	v, f := d.rounded(whDigits)
	if f == fits && (v > rating.MaxRegisterMwh || v < -rating.MaxRegisterMwh) {
		f = tooLarge
	}
	if f != fits {
		r.fault(n, "%s is too large", n.what())
	}
	return v, f == fits
}

// exactInstant reads the time of a reading: RFC 3339, Z, on the millisecond (EXACTNESS 1).
func (r *reader) exactInstant(n *node) int64 {
	s, ok := r.textOf(n)
	if !ok {
		return 0
	}
	ms, zone, finer, ok := instantText(s)
	switch {
	case !ok || !zone:
		r.fault(n, "%s is not an RFC 3339 time that ends in Z", n.what())
	case finer:
		r.fault(n, "%s is finer than a millisecond", n.what())
	}
	return ms
}

func stateOf(s string) rating.ChargeState {
	for state := rating.StateCharging; state <= rating.StateReservationExpired; state++ {
		if StateText(state) == s {
			return state
		}
	}
	return rating.StateUnchanged
}

// StateText is the name of a state in a session file (EXACTNESS section 5); "" for StateUnchanged.
func StateText(s rating.ChargeState) string {
	switch s {
	case rating.StateCharging:
		return "CHARGING"
	case rating.StateSuspendedEV:
		return "SUSPENDED_EV"
	case rating.StateSuspendedEVSE:
		return "SUSPENDED_EVSE"
	case rating.StateIdle:
		return "IDLE"
	case rating.StateReserved:
		return "RESERVED"
	case rating.StateReservationExpired:
		return "RESERVATION_EXPIRED"
	default:
		return ""
	}
}

// clean checks the order of readings: a file that is priced must be clean, unlike the engine's input.
func (r *reader) clean(list *node, points []rating.Point) {
	at := func(i int, key string) *node { return list.items[i].get(key) }
	for i := 1; i < len(points); i++ {
		before, p := points[i-1], points[i]
		if p.AtMs < before.AtMs {
			r.fault(at(i, "at"), "%s goes back in time", at(i, "at").what())
		}
		if p.RegisterMwh < before.RegisterMwh {
			r.fault(at(i, "energy_wh"), "%s is a register that goes down", at(i, "energy_wh").what())
		}
		if reserves(before.State) && p.RegisterMwh > before.RegisterMwh {
			r.fault(at(i, "energy_wh"), "%s is energy during a reservation", at(i, "energy_wh").what())
		}
		if p.State == before.State {
			continue
		}
		state := at(i, "state")
		switch {
		case reserves(p.State) && reserves(before.State):
			r.fault(state, "%s after %s: a reservation is of one kind", state.what(), StateText(before.State))
		case reserves(p.State):
			r.fault(state, "%s after %s: a reservation comes first", state.what(), StateText(before.State))
		case before.State == rating.StateReservationExpired && i != len(points)-1:
			r.fault(state, "%s after an expired reservation: nothing but the end follows it", state.what())
		}
	}
}

func reserves(s rating.ChargeState) bool {
	return s == rating.StateReserved || s == rating.StateReservationExpired
}

func (r *reader) expect(n *node) Expect {
	e := Expect{EnergyMwh: rating.Unknown}
	if n == nil || !r.object(n) {
		return e
	}
	for _, f := range n.items {
		switch f.key {
		case "excl":
			e.Excl = r.amount(f)
		case "incl":
			e.Incl = r.amount(f)
		case "energy_mwh":
			if v, ok := r.fixed(f, 0, "a milliwatt-hour"); ok {
				e.EnergyMwh = v
			}
		default:
			r.fault(f, "nothing of this name can be compared (excl, incl, energy_mwh)")
		}
	}
	return e
}

// amount reads an expected amount as it is shown. An exponent would not say how many decimals are meant.
func (r *reader) amount(n *node) Amount {
	if n.kind == kindNull {
		return Amount{Given: true, Null: true}
	}
	d, ok := r.decimalOf(n)
	if !ok {
		return Amount{}
	}
	if d.frac < 0 || d.frac > MaxDecimals {
		r.fault(n, "%s is not an amount of up to %d decimals", n.what(), MaxDecimals)
		return Amount{}
	}
	return Amount{Given: true, Text: d.text(), Decimals: d.frac}
}

// MaxDecimals is the most decimals that an amount can be asked or expected at: an exact price before tax has 18.
const MaxDecimals = 18
