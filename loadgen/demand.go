package loadgen

import "github.com/wattline/wattline/rating"

const (
	minuteMs  = 60_000
	quarterMs = 900_000
	hourMs    = 3_600_000
	dayMs     = 86_400_000
)

// How many free connectors of a thousand get a car in a quarter of an hour, by hour of the local day. The shape is
// that of public charging: a peak when people come to work, a higher one in the evening, little at night.
const (
	onWeekdays = "\x04\x03\x02\x02\x03\x07\x14\x2d\x34\x26\x1e\x1c\x20\x1e\x1c\x20\x2c\x3a\x3e\x36\x28\x1c\x12\x0a"
	onWeekends = "\x08\x06\x04\x03\x03\x04\x08\x10\x1a\x24\x2c\x30\x30\x2e\x2c\x2c\x2e\x30\x2e\x26\x1e\x16\x10\x0c"
)

// arrivalMs is when the next car comes to a connector that is free from freeMs on.
func (n *Network) arrivalMs(r *random, st *station, freeMs int64) int64 {
	offsetMs, _ := n.sites[st.site].zone.Offset(freeMs) // a change of the clocks until the car comes shifts nobody's habits
	at := freeMs + minuteMs
	for {
		local := at + offsetMs
		day, hour := local/dayMs, local%dayMs/hourMs
		curve := onWeekdays
		if (day+3)%7 >= 5 { // 1970-01-01 was a Thursday
			curve = onWeekends
		}
		if r.below(1000) < int64(curve[hour])*int64(st.busy)/100 {
			return at + r.below(quarterMs)
		}
		at += quarterMs
	}
}

// nextPlan is the session after one that ended at freeMs with the register at baseMwh. It is a pure function of
// its arguments; number counts the sessions of the connector.
func (n *Network) nextPlan(s *plan, connector, number int32, freeMs, baseMwh int64) {
	*s = plan{number: number, baseMwh: baseMwh}
	r := randomOf(n.cfg.Seed, forSession, int64(connector), int64(number))
	con := &n.connectors[connector]
	if n.cfg.Shape == ShapeBench {
		s.startMs, s.endMs = freeMs, freeMs
		n.planBench(s, &r)
		return
	}
	st := &n.stations[con.station]
	s.startMs = n.arrivalMs(&r, st, freeMs)
	s.endMs = s.startMs
	if r.percent(1) {
		s.add(rating.StateReserved, r.between(3*minuteMs, 25*minuteMs), 0, 0)
		if r.percent(20) {
			s.expired = true
			return
		}
	}
	if con.fast {
		n.planFast(s, &r, int64(con.powerW))
	} else {
		n.planSlow(s, &r, int64(con.powerW))
	}
}

// planBench is 25 minutes at full power, of which the last are a taper, and 5 minutes of parking.
func (n *Network) planBench(s *plan, r *random) {
	powerW := r.between(3_000, 22_000)
	length := n.cfg.SessionMs
	s.add(rating.StateCharging, length*9/12, powerW, powerW)
	s.add(rating.StateCharging, length*10/12-length*9/12, powerW, powerW/5)
	s.add(rating.StateIdle, length-length*10/12, 0, 0)
}

// planSlow is a car on alternating current: constant power up to about 85 %, then a taper, then it stands there.
func (n *Network) planSlow(s *plan, r *random, connectorW int64) {
	carW := [...]int64{3_680, 7_360, 11_040, 11_040, 22_080}[r.below(5)]
	powerW := min(carW, connectorW) - r.below(200) // a mains voltage below 230 V
	needWh := r.skewed(4_000, 62_000)
	bulkMs := needWh * hourMs / 100 * 85 / powerW
	pauseMs, pause := int64(0), rating.StateSuspendedEVSE
	switch {
	case r.percent(8): // the site has no more power for a while
		pauseMs = r.between(2*minuteMs, 20*minuteMs)
	case r.percent(5): // the car waits for a cheaper hour
		pauseMs, pause = r.between(10*minuteMs, 90*minuteMs), rating.StateSuspendedEV
	}
	if pauseMs > 0 {
		before := r.below(bulkMs)
		s.add(rating.StateCharging, before, powerW, powerW)
		s.add(pause, pauseMs, 0, 0)
		bulkMs -= before
	}
	s.add(rating.StateCharging, bulkMs, powerW, powerW)
	if r.percent(25) { // unplugged before it was full
		s.add(rating.StateIdle, r.between(10_000, 2*minuteMs), 0, 0)
		return
	}
	endW := powerW / 6
	s.add(rating.StateCharging, needWh*hourMs/100*15*2/(powerW+endW), powerW, endW)
	s.add(rating.StateSuspendedEV, r.between(minuteMs, 20*minuteMs), 0, 0)
	if r.percent(70) {
		s.add(rating.StateIdle, r.skewed(minuteMs, 7*hourMs), 0, 0)
	}
}

// planFast is a car on direct current: a ramp, a plateau, and a taper whose knee lies about at 60 %.
func (n *Network) planFast(s *plan, r *random, connectorW int64) {
	carW := [...]int64{50_000, 77_000, 120_000, 170_000, 235_000}[r.below(5)]
	powerW := min(carW, connectorW)
	needWh := r.skewed(14_000, 68_000)
	share := func(percent, meanW int64) int64 { return needWh * hourMs / 100 * percent / meanW }
	s.add(rating.StateCharging, r.between(20_000, minuteMs), powerW/10, powerW)
	s.add(rating.StateCharging, share(50, powerW), powerW, powerW)
	s.add(rating.StateCharging, share(35, powerW*3/4), powerW, powerW/2)
	if r.percent(40) {
		s.add(rating.StateCharging, share(15, powerW*5/16), powerW/2, powerW/8)
	}
	if r.percent(60) {
		s.add(rating.StateSuspendedEV, r.between(30_000, 3*minuteMs), 0, 0)
		s.add(rating.StateIdle, r.skewed(30_000, 35*minuteMs), 0, 0)
	} else {
		s.add(rating.StateIdle, r.between(20_000, 2*minuteMs), 0, 0)
	}
}
