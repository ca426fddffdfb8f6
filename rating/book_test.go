package rating

import "testing"

func testPlace(id, uid string) *Location {
	return &Location{CountryCode: "NL", PartyID: "WTL", ID: id, Zone: "UTC", EVSEs: []EVSE{{UID: uid, Connectors: []Connector{{ID: "1"}}}}}
}

// TestPlaceFollowsAnEVSE: a charge point that moves from one location to another is at the new one, also after the old
// one is withdrawn, in whatever order the two are published; and every book is as it was.
func TestPlaceFollowsAnEVSE(t *testing.T) {
	dam, rokin := LocationKey{"NL", "WTL", "DAM"}, LocationKey{"NL", "WTL", "ROKIN"}
	l := NewLibrary()
	l.PutLocation(0, dam, testPlace("DAM", "CP-1"))
	l.PutLocation(1, rokin, testPlace("ROKIN", "CP-1"))
	l.PutLocation(2, dam, nil)
	l.PutLocation(3, rokin, testPlace("ROKIN", "CP-2"))
	l.PutLocation(4, dam, testPlace("DAM", "CP-1"))
	l.PutLocation(5, rokin, nil)
	f := func(asOf int64, uid, want string) {
		t.Helper()
		got := ""
		if p, ok := l.Place(asOf, uid, 1); ok {
			got = p.Location.ID
		}
		if got != want {
			t.Errorf("book %d: %s is at %q, want %q", asOf, uid, got, want)
		}
	}
	f(0, "CP-1", "")
	f(1, "CP-1", "DAM")
	f(2, "CP-1", "ROKIN")
	f(3, "CP-1", "ROKIN")
	f(4, "CP-1", "")
	f(4, "CP-2", "ROKIN")
	f(5, "CP-1", "DAM")
	f(6, "CP-1", "DAM")
	f(6, "CP-2", "")
}
