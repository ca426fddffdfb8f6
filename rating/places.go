package rating

// places finds the versions of EVSEs by their uid. A network has millions of them and an engine that starts reads
// all: so one slot of eight bytes and one version of 48 for each, in two slices, and no string but those of the
// locations themselves.
type places struct {
	slots    []placeSlot // open addressing; a power of two, at most three quarters full
	used     int
	versions []evseVersion
	owners   map[LocationKey]uint32 // number of each location, from 1
	newest   []*Location            // by number: its newest version; nil: withdrawn
}

// placeSlot is of one uid.
type placeSlot struct {
	hash uint32
	last uint32 // its newest version, counted from 1; 0: the slot is empty
}

// evseVersion is an EVSE as one version of a location has it, or no longer has it.
type evseVersion struct {
	uid      string // also in the location, at the end of two pointers
	offset   int64
	location *Location // where it stands; of one that is gone: where it stood
	evse     uint32    // index in location.EVSEs
	owner    uint32    // number of the location
	before   uint32    // the uid's version before this one, counted from 1; 0: none
	gone     bool
}

func newPlaces() places {
	return places{slots: make([]placeSlot, 64), owners: map[LocationKey]uint32{}, newest: make([]*Location, 1)}
}

// hashOf is FNV-1a, both halves of its 64 bits folded. The log is the operator's own: nobody floods it.
func hashOf(uid string) uint32 {
	h := uint64(14695981039346656037)
	for i := range len(uid) {
		h = (h ^ uint64(uid[i])) * 1099511628211
	}
	return uint32(h) ^ uint32(h>>32)
}

// find returns the slot of uid, or the empty one where it belongs.
func (p *places) find(uid string) (slot *placeSlot, hash uint32) {
	hash = hashOf(uid)
	mask := uint32(len(p.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &p.slots[i]
		if s.last == 0 || s.hash == hash && p.versions[s.last-1].uid == uid {
			return s, hash
		}
	}
}

// last returns the newest version of uid; ok is false for one that was never there.
func (p *places) last(uid string) (v *evseVersion, ok bool) {
	s, _ := p.find(uid)
	if s.last == 0 {
		return nil, false
	}
	return &p.versions[s.last-1], true
}

// before returns the version before v.
func (p *places) before(v *evseVersion) (older *evseVersion, ok bool) {
	if v.before == 0 {
		return nil, false
	}
	return &p.versions[v.before-1], true
}

// put adds the version of a location that was published at offset; loc nil withdraws it.
func (p *places) put(offset int64, key LocationKey, loc *Location) {
	owner, known := p.owners[key]
	if !known {
		owner = uint32(len(p.newest))
		p.owners[key] = owner
		p.newest = append(p.newest, nil)
	}
	old := p.newest[owner]
	p.newest[owner] = loc
	if loc != nil {
		for i := range loc.EVSEs {
			p.add(evseVersion{uid: loc.EVSEs[i].UID, offset: offset, location: loc, evse: uint32(i), owner: owner})
		}
	}
	if old == nil {
		return
	}
	kept := map[string]bool{}
	if loc != nil {
		for i := range loc.EVSEs {
			kept[loc.EVSEs[i].UID] = true
		}
	}
	for i := range old.EVSEs {
		if !kept[old.EVSEs[i].UID] {
			p.add(evseVersion{uid: old.EVSEs[i].UID, offset: offset, location: old, evse: uint32(i), owner: owner, gone: true})
		}
	}
}

func (p *places) add(v evseVersion) {
	if 4*p.used >= 3*len(p.slots) {
		p.grow()
	}
	s, hash := p.find(v.uid)
	if s.last == 0 {
		p.used++
	}
	v.before = s.last
	p.versions = append(p.versions, v)
	*s = placeSlot{hash, uint32(len(p.versions))}
}

// grow doubles the slots. No uid is looked at: their hashes are in the slots.
func (p *places) grow() {
	old := p.slots
	p.slots = make([]placeSlot, 2*len(old))
	mask := uint32(len(p.slots) - 1)
	for _, s := range old {
		if s.last == 0 {
			continue
		}
		i := s.hash & mask
		for p.slots[i].last != 0 {
			i = (i + 1) & mask
		}
		p.slots[i] = s
	}
}
