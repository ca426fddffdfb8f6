package engine

import (
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
)

// wait keeps a Start; the same message again replaces itself.
func (s *shard) wait(k snapshot.Key, st snapshot.Start) {
	s.forget(k)
	s.starts.Put(k, st)
}

// forget drops a Start that waits, if it does.
func (s *shard) forget(k snapshot.Key) {
	if i, ok := s.starts.Place(k); ok {
		s.forgetAt(i)
	}
}

func (s *shard) forgetAt(place uint32) {
	if x := s.starts.At(place); x.Mark != s.mark {
		s.image.Starts.Add(*x)
	}
	s.starts.Take(place)
}

// startKey names a pending Start: connector -1 is no connector's.
func (s *shard) startKey(chargePoint, messageID []byte) snapshot.Key {
	return s.hash.Key(chargePoint, -1, messageID)
}

// pendingStart finds the newest Start of a connector that still waits, and takes it.
func (s *shard) pendingStart(connector uint32) (found snapshot.Start, ok bool) {
	at, key := uint32(0), snapshot.Key{}
	s.starts.Of(connector, func(place uint32, x *slab.Waiting) { // in any order: the greatest (offset, key) is one
		st := &x.Start
		if !ok || st.Offset > found.Offset || st.Offset == found.Offset && key.Less(x.Key) {
			found, at, key, ok = *st, place, x.Key, true
		}
	})
	if ok {
		s.forgetAt(at)
	}
	return found, ok
}

// forgetOlder drops the Starts of a connector that wait from before a session that opens there: sent again under
// another message id, or never accepted.
func (s *shard) forgetOlder(connector uint32, atMs int64) {
	s.starts.Of(connector, func(place uint32, x *slab.Waiting) { // in any order: each is judged alone
		if x.Start.AtMs <= atMs {
			s.forgetAt(place)
		}
	})
}

// forgetStarts drops the Starts whose answer did not come.
func (s *shard) forgetStarts() {
	for i := range s.starts.Places() {
		x := s.starts.At(i)
		if x.Key != (snapshot.Key{}) && x.Start.RecordMs+startKeepMs < s.watermarkMs {
			s.forgetAt(i)
		}
	}
}
