package sample

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// event is a message of a scene. raw, if it is not nil, is the value of the record instead of the reading.
type event struct {
	sendMs  int64
	reading rating.Reading
	raw     []byte
}

// scene is a session that something happens to, with what is to come of it.
type scene struct {
	name        name
	site        string // "" is nowhere in the reference log
	chargePoint string
	events      []event
	points      []rating.Point // what the meter measured, as the pricer takes it; nil: it has no price
	status      engine.SessionStatus
	flags       engine.SessionFlags // those that it must have
}

// session is a car that charges without anything happening, on which the scenes are made. It charges at powerW for
// minutes, with a reading every five of them, and stops.
func session(s *scene, startMs, powerW, minutes int64) {
	const everyMs = 5 * minuteMs
	baseMwh := startMs / 1000 % 9_000_000_000
	for i := range minutes*minuteMs/everyMs + 1 {
		r := rating.Reading{
			AtMs: startMs + i*everyMs, RegisterMwh: baseMwh + i*powerW*everyMs/3600, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
			Seq: i, Connector: 1, Kind: rating.KindMeter, State: rating.StateCharging,
			ChargePoint: []byte(s.chargePoint), Transaction: []byte(s.name.transaction),
		}
		switch i {
		case 0:
			r.Kind = rating.KindStart
		case minutes * minuteMs / everyMs:
			r.Kind, r.State = rating.KindStop, rating.StateUnchanged
		}
		s.events = append(s.events, event{sendMs: r.AtMs + secondMs, reading: r})
		s.points = append(s.points, rating.Point{
			AtMs: r.AtMs, RegisterMwh: r.RegisterMwh, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, State: rating.StateCharging,
		})
	}
	s.status = engine.StatusCompleted
}

// drop takes reading i and its point away.
func (s *scene) drop(i int) {
	s.events, s.points = slices.Delete(s.events, i, i+1), slices.Delete(s.points, i, i+1)
}

// plot is what happens in a scene.
type plot struct {
	what string
	do   func(s *scene)
}

// plots are what happens at the yard, one charger each. Where there is no site, nothing is known of the charger.
func plots() []plot {
	return []plot{
		{"reset", func(s *scene) { // the register begins anew at reading 6: what went through between is not known
			before, at := s.points[5].RegisterMwh, s.points[6].RegisterMwh
			for i := 6; i < len(s.events); i++ {
				s.events[i].reading.RegisterMwh -= at
				s.points[i].RegisterMwh -= at - before
			}
			s.flags = engine.FlagReset
		}},
		{"glitch", func(s *scene) { // one value is zero
			s.events[7].reading.RegisterMwh = 0
			s.points = slices.Delete(s.points, 7, 8)
			s.flags = engine.FlagGlitch
		}},
		{"no stop", func(s *scene) { // the charger falls silent
			s.drop(len(s.events) - 1)
			s.status, s.flags = engine.StatusProvisional, engine.FlagNoStop
		}},
		{"no start", func(s *scene) { // the first message that comes is a reading
			s.drop(0)
			s.flags = engine.FlagNoStart
		}},
		{"late", func(s *scene) { // the charger is offline for 40 minutes and sends all of it then
			for i := 4; i < 12; i++ {
				s.events[i].sendMs = s.events[12].sendMs
			}
			s.flags = engine.FlagLate
		}},
		{"clock", func(s *scene) { // its clock is five minutes ahead
			for i := range s.events {
				s.events[i].sendMs -= 5 * minuteMs
			}
			s.flags = engine.FlagClock
		}},
		{"below", func(s *scene) { // the register of the Stop is below the last value
			last := len(s.events) - 1
			s.events[last].reading.RegisterMwh = s.events[last-3].reading.RegisterMwh
			s.points[last].RegisterMwh = s.points[last-1].RegisterMwh
			s.flags = engine.FlagBelowStart
		}},
		{"impossible", func(s *scene) { // ten times what the connector can deliver
			base := s.points[0].RegisterMwh
			for i := range s.events {
				s.points[i].RegisterMwh = base + 10*(s.points[i].RegisterMwh-base)
				s.events[i].reading.RegisterMwh = s.points[i].RegisterMwh
			}
			s.flags = engine.FlagImpossible
		}},
		{"garbage", func(s *scene) { // a message that can not be read is a reject, and takes nothing from the session
			s.events = slices.Insert(s.events, 3, event{sendMs: s.events[3].sendMs, reading: s.events[3].reading, raw: []byte("\xff not a reading")})
		}},
	}
}

// scenes are all of them: the plots of the yard on Friday and on Monday, two sessions at the site that is late in the
// books, and one that nobody ever finds out about.
func scenes() []scene {
	var list []scene
	add := func(site, chargePoint string, number int, startMs int64, do func(s *scene)) {
		s := scene{site: site, chargePoint: chargePoint}
		s.name = name{chargePoint, 1, fmt.Sprint(number)}
		session(&s, startMs, 7_360, 120)
		do(&s)
		list = append(list, s)
	}
	for day, at := range []int64{FromMs + dayMs + 9*hourMs, FromMs + 4*dayMs + 16*hourMs} {
		for i, p := range plots() {
			add(yardSite, fmt.Sprintf("WTL-YRD-%05d", i+1), 9_000+100*day+i, at+int64(i)*7*minuteMs, p.do)
		}
	}
	held := func(s *scene) { s.flags = engine.FlagHeld }
	add(lateSite, "WTL-LAT-00001", 9_501, siteKnownMs-5*hourMs, held) // it has ended before the site is known
	add(lateSite, "WTL-LAT-00002", 9_502, siteKnownMs-hourMs, held)   // it runs
	add(lateSite, "WTL-LAT-00001", 9_503, siteKnownMs+3*hourMs, func(*scene) {})
	for i := range int64(3) {
		add("", "WTL-XXX-00001", 9_601+int(i), UntilMs-dayMs+4*i*hourMs, func(s *scene) {
			s.points, s.status, s.flags = nil, engine.StatusHeld, 0
		})
	}
	return list
}

// eventsOf are the messages of all scenes in order of sending.
func eventsOf(list []scene) []event {
	var all []event
	for i := range list {
		all = append(all, list[i].events...)
	}
	slices.SortStableFunc(all, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.sendMs, b.sendMs), slices.Compare(a.reading.ChargePoint, b.reading.ChargePoint), cmp.Compare(a.reading.Seq, b.reading.Seq))
	})
	return all
}
