package engine

import (
	"slices"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

const minuteMs = 60_000

// provisionalKeepMs is how long a provisionally closed session is kept, so that a late Stop is seen.
const provisionalKeepMs = 24 * 3_600_000

// startKeepMs is how long a Start waits for its answer.
const startKeepMs = 24 * 3_600_000

// tickDue says whether a record moves the watermark into a new minute. The watermark is the greatest record
// timestamp so far: it is in the log, and no charger's clock can move it (I2).
func (s *shard) tickDue(recordMs int64) bool {
	return recordMs > s.watermarkMs && s.advance(recordMs)
}

func (s *shard) advance(recordMs int64) bool {
	s.watermarkMs = recordMs
	return recordMs/minuteMs > s.tickMinute
}

// tick ends the sessions whose readings stopped coming, as of the watermark's minute. It happens between the
// messages, before rec: the position says so.
//
// All that are due in one minute end in one call, for they end before the same record: a rest that waited for the next
// call would end behind it, at another position and with what that record brought (I1). So it is the exception to I6: the
// sessions that fell silent in the same minute, all of a partition only where all of it fell silent.
func (s *shard) tick(rec *Record) {
	minute := s.watermarkMs / minuteMs
	before := s.tickMinute
	s.tickMinute = minute
	if before == rating.Unknown {
		return
	}
	s.offset, s.recordMs, s.position = rec.Offset, s.watermarkMs, between(rec.Offset)
	s.due = s.due[:0]
	for m, keys := range s.wheel { // in any order: what is due is sorted below
		if m <= minute {
			s.due = append(s.due, keys...)
			delete(s.wheel, m)
		}
	}
	slices.SortFunc(s.due, snapshot.Key.Compare)
	s.due = slices.Compact(s.due)
	for _, k := range s.due {
		if ss := s.lookup(k, noSlot); ss != nil {
			s.expireIdle(ss, minute)
		}
	}
	if minute/60 != before/60 {
		s.forgetStarts()
	}
}

// expireIdle ends ss if it is really due, else looks again when it will be.
func (s *shard) expireIdle(ss *snapshot.Session, minute int64) {
	due := s.dueMinute(ss)
	if due > minute {
		s.wheel[due] = append(s.wheel[due], ss.Key)
		return
	}
	if SessionStatus(ss.Status) == StatusProvisional {
		s.tell(ss, s.total(ss), false, true, "")
		s.drop(ss)
		return
	}
	if h := s.held[ss.Key]; h != nil && h.Ended {
		return
	}
	s.endProvisional(ss)
}

func (s *shard) dueMinute(ss *snapshot.Session) int64 {
	wait := s.cfg.SessionTimeoutMs
	if SessionStatus(ss.Status) == StatusProvisional {
		wait += provisionalKeepMs
	}
	return (ss.LastRecordMs + wait + minuteMs - 1) / minuteMs
}

// arm puts a session into the wheel.
func (s *shard) arm(ss *snapshot.Session) {
	due := s.dueMinute(ss)
	s.wheel[due] = append(s.wheel[due], ss.Key)
}
