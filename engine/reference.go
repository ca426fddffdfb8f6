package engine

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

// ReferenceRecord is one decoded record of the reference log. Exactly one of its parts is set; none for a kind
// that this release does not know but may skip.
type ReferenceRecord struct {
	HashKey      *HashKey
	TariffKey    rating.TariffKey
	Tariff       *rating.Tariff
	TariffGone   bool
	LocationKey  rating.LocationKey
	Location     *rating.Location
	LocationGone bool
}

// DecodeReference reads a record of the reference log (docs/formats/reference.md). It keeps nothing of key and value, and
// is safe for concurrent use.
type DecodeReference func(key, value []byte) (ReferenceRecord, error)

// Reference is the reference log in memory, shared by all shards of an engine. Safe for concurrent use; it is
// asked when sessions begin, never per reading.
type Reference struct {
	decode DecodeReference

	following chan struct{} // room for one Follow at a time: a record is put once. A channel, so that who waits can be told to stop

	mu     sync.Mutex
	lib    *rating.Library
	key    HashKey
	hasKey bool
	zones  map[string]*rating.Zone
	plans  *lru.Cache[planKey, *rating.Plan] // compiled once, shared by the shards
}

// planKey names a compiled plan: the reference log has one version of one tariff at an offset, so the tariff's own
// names need not be hashed for every session that begins.
type planKey struct {
	offset int64
	zone   string
}

// planCacheSize bounds the compiled plans that no live session holds; a plan is a few KiB.
const planCacheSize = 4096

// NewReference returns an empty Reference.
func NewReference(decode DecodeReference) *Reference {
	plans, err := lru.New[planKey, *rating.Plan](planCacheSize)
	if err != nil {
		invariant.Bug("plan cache: %v", err) // only a size below 1 is refused
	}
	return &Reference{decode: decode, following: make(chan struct{}, 1), lib: rating.NewLibrary(), zones: map[string]*rating.Zone{}, plans: plans}
}

// Follow reads the log from where it stands to its end. Call it again for what came since.
func (r *Reference) Follow(ctx context.Context, log LogReader, topic string) error {
	select {
	case r.following <- struct{}{}:
	default:
		select {
		case r.following <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-r.following }()
	r.mu.Lock()
	from := r.lib.Next()
	r.mu.Unlock()
	// A start reads all of it: on every core, but put in order.
	ahead := slab.Ahead[Record, decoded]{Work: r.read, Take: r.put, Most: 4 * runtime.GOMAXPROCS(0)}
	next, err := log.ReadLog(ctx, topic, 0, from, func(rec Record) error {
		rec.Key, rec.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value) // nil stays nil: withdrawn
		return ahead.Give(rec)
	})
	if err == nil {
		err = ahead.Rest()
	}
	if err != nil {
		return fmt.Errorf("read reference log %s from offset %d: %w", topic, from, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if next > r.lib.Next() {
		r.lib.Skip(next - 1)
	}
	return nil
}

// decoded is what a record of the log says.
type decoded struct {
	ReferenceRecord
	offset int64
	err    error
}

func (r *Reference) read(rec Record) decoded {
	ref, err := r.decode(rec.Key, rec.Value)
	return decoded{ref, rec.Offset, err}
}

func (r *Reference) put(ref decoded) error {
	if ref.err != nil {
		return &Halt{
			Reason: "reference-unreadable", Partition: Partition{Number: 0},
			Detail: fmt.Sprintf("record %d of the reference log: %v", ref.offset, ref.err),
			Do:     "run a release that can read it; the log is never edited",
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ref.HashKey != nil:
		if !r.hasKey { // two engines may have made one at once: the first in the log counts
			r.key, r.hasKey = *ref.HashKey, true
		}
		r.lib.Skip(ref.offset)
	case ref.Tariff != nil || ref.TariffGone:
		r.lib.PutTariff(ref.offset, ref.TariffKey, ref.Tariff)
	case ref.Location != nil || ref.LocationGone:
		r.lib.PutLocation(ref.offset, ref.LocationKey, ref.Location)
	default:
		r.lib.Skip(ref.offset)
	}
	return nil
}

// HashKey returns the installation's key, ok false while the log has none.
func (r *Reference) HashKey() (key HashKey, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.key, r.hasKey
}

// Next is the newest book: the offset below which all records are known.
func (r *Reference) Next() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lib.Next()
}

// priced is what a session takes from the book at its start and keeps to its end.
type priced struct {
	planRef  snapshot.Plan
	placeRef snapshot.Place
	plan     *rating.Plan
	location string
	tariff   string
	maxW     int64
	always   bool // the same for every session of the connector that begins with this book
}

// price finds what prices a session of a connector that begins at startMs, in the book of asOf. The reason says
// what is missing.
func (r *Reference) price(asOf, startMs int64, chargePoint string, connector int32) (p priced, reason string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	place, found := r.lib.Place(asOf, chargePoint, connector)
	if !found {
		return p, "charge point or connector unknown", false
	}
	choice, reason, found := r.lib.Choose(asOf, startMs, place)
	if !found {
		return p, reason, false
	}
	t := choice.Tariff
	ref := snapshot.Plan{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID, Offset: choice.Offset, Zone: place.Location.Zone}
	plan, err := r.compile(ref, t)
	if err != nil {
		return p, err.Error(), false
	}
	return priced{
		planRef: ref, plan: plan,
		placeRef: snapshot.Place{Offset: place.Offset, UID: place.UID, Connector: place.Connector.ID},
		location: locationName(place.Location), tariff: tariffName(ref), maxW: place.Connector.MaxPowerW,
		always: choice.Always,
	}, "", true
}

func locationName(l *rating.Location) string {
	return rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}.String()
}

func tariffName(p snapshot.Plan) string {
	return rating.TariffKey{CountryCode: p.CountryCode, PartyID: p.PartyID, ID: p.ID}.String()
}

// compile is called with mu held.
func (r *Reference) compile(ref snapshot.Plan, t *rating.Tariff) (*rating.Plan, error) {
	if plan, ok := r.plans.Get(planKey{ref.Offset, ref.Zone}); ok {
		return plan, nil
	}
	zone, ok := r.zones[ref.Zone]
	if !ok {
		var err error
		if zone, err = rating.LoadZone(ref.Zone); err != nil {
			return nil, fmt.Errorf("time zone %q: %w", ref.Zone, err)
		}
		r.zones[ref.Zone] = zone
	}
	plan, err := rating.Compile(t, zone)
	if err != nil {
		return nil, fmt.Errorf("tariff %s: %w", tariffName(ref), err)
	}
	r.plans.Add(planKey{ref.Offset, ref.Zone}, plan)
	return plan, nil
}

// recoverPlan compiles the plan that a snapshot names.
func (r *Reference) recoverPlan(ref snapshot.Plan) (*rating.Plan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.lib.TariffAt(rating.TariffKey{CountryCode: ref.CountryCode, PartyID: ref.PartyID, ID: ref.ID}, ref.Offset)
	if !ok {
		return nil, fmt.Errorf("tariff %s of reference offset %d is not in the reference log", tariffName(ref), ref.Offset)
	}
	return r.compile(ref, t)
}

// recoverPlaces finds the locations that a snapshot names; the first of refs is unused.
func (r *Reference) recoverPlaces(refs []snapshot.Place) ([]placeInfo, error) {
	const atOnce = 256 // others begin sessions meanwhile
	infos, named := make([]placeInfo, len(refs)), map[*rating.Location]string{}
	for i := 1; i < len(refs); {
		r.mu.Lock()
		for end := min(i+atOnce, len(refs)); i < end; i++ {
			ref := &refs[i]
			p, ok := r.lib.PlacementAt(ref.UID, ref.Connector, ref.Offset)
			if !ok {
				r.mu.Unlock()
				return nil, fmt.Errorf("connector %s of EVSE %s of reference offset %d is not in the reference log", ref.Connector, ref.UID, ref.Offset)
			}
			name, ok := named[p.Location]
			if !ok {
				name = locationName(p.Location)
				named[p.Location] = name
			}
			infos[i] = placeInfo{name, p.Connector.MaxPowerW}
		}
		r.mu.Unlock()
	}
	return infos, nil
}
