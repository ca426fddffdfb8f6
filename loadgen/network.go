package loadgen

import (
	"fmt"
	"time"

	"github.com/wattline/wattline/internal/murmur2"
	"github.com/wattline/wattline/rating"
)

// The operator of all locations and tariffs, as OCPI identifies it.
const (
	countryCode = "NL"
	partyID     = "WTL"
)

// Network is what a Config makes: sites, charge points and tariffs, and who charges when. It is immutable and may
// be shared by goroutines.
type Network struct {
	cfg        Config
	tariffs    []*rating.Tariff
	places     []place
	sites      []site
	stations   []station
	connectors []connector
	ids        []byte // the charge points' identities, one after the other
	plans      map[planKey]*rating.Plan
	zones      map[string]*time.Location // for the oracle; the same database as the plans'
}

type planKey struct {
	tariff int32
	zone   string
}

// site is an OCPI location.
type site struct {
	place                     int32
	firstStation, endStations int32
	zone                      *rating.Zone
}

// station is a charge point: one key, one order of readings.
type station struct {
	site           int32
	firstConnector int32
	idAt           int32
	partition      int32
	resolutionMwh  int32 // the meter's step, at least 1
	busy           int16 // percent of the usual arrivals
	connectors     uint8
	idLen          uint8
	separateEVSEs  bool // it is modelled as one EVSE a connector
	directCurrent  bool
}

// connector is where a car is plugged in.
type connector struct {
	station int32
	tariff  int32
	powerW  int32
	number  uint8 // at the charge point, from 1
	fast    bool
}

// New builds the network of cfg. Errors: the joined faults of Config.Validate.
func New(cfg Config) (*Network, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new network: %w", err)
	}
	n := &Network{cfg: cfg, plans: map[planKey]*rating.Plan{}, zones: map[string]*time.Location{}}
	zones := map[string]*rating.Zone{}
	n.places = cityPlaces()
	if cfg.Shape == ShapeBench {
		n.places = benchPlaces()
	}
	for _, p := range n.places {
		if zones[p.zone] != nil {
			continue
		}
		z, err := rating.LoadZone(p.zone)
		if err != nil {
			return nil, fmt.Errorf("new network: %w", err)
		}
		zones[p.zone] = z
		data, err := rating.ZoneData(p.zone)
		if err != nil {
			return nil, fmt.Errorf("new network: %w", err)
		}
		if n.zones[p.zone], err = time.LoadLocationFromTZData(p.zone, data); err != nil {
			return nil, fmt.Errorf("new network: time zone %q: %w", p.zone, err)
		}
	}
	if cfg.Shape == ShapeBench {
		offsetMs, _ := zones[n.places[0].zone].Offset(cfg.EpochMs)
		n.tariffs = benchTariffs(cfg.Tariffs, (cfg.EpochMs+offsetMs)/minuteMs)
	} else {
		n.tariffs = cityTariffs()
		if cfg.MembersPercent > 0 {
			n.tariffs = append(n.tariffs, memberTariffs()...)
		}
	}
	n.build(zones)
	return n, n.compile()
}

// build lays out sites, stations and connectors.
func (n *Network) build(zones map[string]*rating.Zone) {
	cfg := &n.cfg
	for first := 0; first < cfg.ChargePoints; first += cfg.ChargePointsPerSite {
		r := randomOf(cfg.Seed, forStation, -1, int64(len(n.sites)))
		at := r.below(int64(len(n.places)))
		end := min(first+cfg.ChargePointsPerSite, cfg.ChargePoints)
		n.sites = append(n.sites, site{
			place: int32(at), firstStation: int32(first), endStations: int32(end), zone: zones[n.places[at].zone],
		})
		for i := first; i < end; i++ {
			n.addStation(int32(len(n.sites)-1), i)
		}
	}
}

func (n *Network) addStation(siteIndex int32, index int) {
	r := randomOf(n.cfg.Seed, forStation, int64(index), 0)
	s := station{
		site: siteIndex, firstConnector: int32(len(n.connectors)), connectors: 1, busy: 100, resolutionMwh: 1,
	}
	if n.cfg.Shape == ShapeBench {
		n.connectors = append(n.connectors, connector{
			station: int32(index), tariff: int32(index % len(n.tariffs)), number: 1, powerW: 22_080,
		})
	} else {
		n.cityStation(&s, int32(index), &r)
	}
	at := len(n.ids)
	n.ids = n.appendIdentity(n.ids, siteIndex, index)
	s.idAt, s.idLen = int32(at), uint8(len(n.ids)-at)
	s.partition = murmur2.Partition(n.ids[at:], n.cfg.Partitions)
	n.stations = append(n.stations, s)
}

// cityStation chooses what a charge point of a city is.
func (n *Network) cityStation(s *station, index int32, r *random) {
	pl := &n.places[n.sites[s.site].place]
	s.busy = int16(r.between(50, 190))
	c := connector{station: index, number: 1}
	switch kind := r.below(100); {
	case kind < 60: // a post with two sockets
		c.powerW, s.connectors = 22_080, 2
		s.separateEVSEs = r.percent(50)
		s.resolutionMwh = [...]int32{1_000, 1_000, 1_000, 10_000}[r.below(4)]
		c.tariff = pl.slowTariffs[r.below(int64(len(pl.slowTariffs)))]
	case kind < 82: // a wall box
		c.powerW = 11_040
		s.resolutionMwh = [...]int32{1, 1_000, 100_000}[r.below(3)]
		c.tariff = pl.slowTariffs[r.below(int64(len(pl.slowTariffs)))]
	default: // a fast charger
		c.powerW = [...]int32{50_000, 150_000, 150_000, 300_000}[r.below(4)]
		c.fast, s.directCurrent = true, true
		s.busy *= 2
		if r.percent(50) {
			s.connectors, s.separateEVSEs = 2, true
		}
		c.tariff = pl.fastTariffs[r.below(int64(len(pl.fastTariffs)))]
	}
	for range s.connectors {
		n.connectors = append(n.connectors, c)
		c.number++
	}
}

// appendIdentity appends what a charge point calls itself.
func (n *Network) appendIdentity(dst []byte, siteIndex int32, index int) []byte {
	if n.cfg.Shape == ShapeCity {
		return fmt.Appendf(dst, "WTL-%s-%05d", n.places[n.sites[siteIndex].place].code, index+1)
	}
	from := len(dst)
	r := randomOf(n.cfg.Seed, forID, int64(index), 0)
	dst = fmt.Appendf(dst, "WTL*BENCH*%08d*%016x%016x", index+1, r.next(), r.next())
	return dst[:from+n.cfg.ChargePointBytes]
}

// compile makes the plans that the truth by the fast pricer needs: one a tariff and zone in use.
func (n *Network) compile() error {
	for i := range n.connectors {
		z := n.sites[n.stations[n.connectors[i].station].site].zone
		for _, d := range [...]driver{{}, {member: n.cfg.MembersPercent > 0}} {
			tariff := n.tariffOf(int32(i), d)
			key := planKey{tariff, z.Name()}
			if n.plans[key] != nil {
				continue
			}
			p, err := rating.Compile(n.tariffs[tariff], z)
			if err != nil {
				return fmt.Errorf("new network: %w", err)
			}
			n.plans[key] = p
		}
	}
	return nil
}

// Config is what the network was made of.
func (n *Network) Config() Config { return n.cfg }

// ChargePoints is how many charge points, and so keys, there are.
func (n *Network) ChargePoints() int { return len(n.stations) }

// Connectors is how many connectors there are: the most sessions that are live at once.
func (n *Network) Connectors() int { return len(n.connectors) }

// Sites is how many locations there are.
func (n *Network) Sites() int { return len(n.sites) }

// Tariffs lists the tariffs. The slice and what it points to belong to the network and are not to be changed.
func (n *Network) Tariffs() []*rating.Tariff { return n.tariffs }

// ChargePoint is the identity of charge point i, the key of its records. The bytes belong to the network, live as
// long as it, and are not to be changed.
func (n *Network) ChargePoint(i int) []byte { return n.id(&n.stations[i]) }

func (n *Network) id(s *station) []byte { return n.ids[s.idAt:][:s.idLen:s.idLen] }

func (n *Network) everyMs(state rating.ChargeState) int64 {
	if state == rating.StateCharging {
		return n.cfg.ChargingEveryMs
	}
	return n.cfg.ParkedEveryMs
}

// firstCutMs is when a session that runs at the epoch begins. It is another time for each connector, or all of
// them would be read at once from then on.
func (n *Network) firstCutMs(connector int32) int64 {
	r := randomOf(n.cfg.Seed, forConnector, int64(connector), 1)
	return n.cfg.EpochMs + r.below(n.cfg.ChargingEveryMs)
}

// nobody's plan starts at never.
const never = int64(1) << 62

// firstPlan is the first session of a connector that is in the network. false: it has none.
func (n *Network) firstPlan(s *plan, connector int32) bool {
	r := randomOf(n.cfg.Seed, forConnector, int64(connector), 0)
	baseMwh := r.below(40_000_000_000) // 40,000 kWh
	freeMs := n.cfg.EpochMs - dayMs
	if n.cfg.Shape == ShapeBench { // sessions of every age
		freeMs = n.cfg.EpochMs - r.below(n.cfg.SessionMs)
	}
	step := int64(n.stations[n.connectors[connector].station].resolutionMwh)
	baseMwh -= baseMwh % step
	cutMs := n.firstCutMs(connector)
	for number := int32(0); ; number++ {
		n.nextPlan(s, connector, number, freeMs, baseMwh)
		freeMs = s.endMs
		s.startAt(cutMs)
		if s.n == 0 {
			continue
		}
		return n.end(s)
	}
}

// followingPlan makes s the session after itself. false: there is none.
func (n *Network) followingPlan(s *plan, connector int32) bool {
	step := int64(n.stations[n.connectors[connector].station].resolutionMwh)
	n.nextPlan(s, connector, s.number+1, s.endMs, s.afterMwh(step))
	return n.end(s)
}

// end cuts the session off at the end of the network.
func (n *Network) end(s *plan) bool {
	if n.cfg.EndMs == 0 {
		return true
	}
	s.endAt(n.cfg.EndMs)
	return s.n > 0
}
