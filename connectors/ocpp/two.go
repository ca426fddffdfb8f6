package ocpp

import (
	"fmt"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// Decode2 is Decode for frames of OCPP 2.0.1 and 2.1: the same envelope, other messages. doc.go says what becomes
// of them. Ownership and errors are as for Decode.
func Decode2(key, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	return decode(key, value, dst, true)
}

// fields2 is a set of the payloads' members that count.
type fields2 uint16

const (
	eventType fields2 = 1 << iota
	when2             // timestamp
	seqNo
	offline
	transactionInfo
	evse
	evseID
	idToken
	meterValue2
	connectorStatus
)

// An action is the set of the members that are read of its payload.
const (
	actionEvent2       = eventType | when2 | seqNo | offline | transactionInfo | evse | idToken | meterValue2
	actionMeterValues2 = evseID | meterValue2
	actionStatus2      = evseID | when2 | connectorStatus
)

func actionOf2(name []byte) fields2 {
	switch string(name) {
	case "TransactionEvent":
		return actionEvent2
	case "MeterValues":
		return actionMeterValues2
	case "StatusNotification":
		return actionStatus2
	}
	return 0
}

func fieldOf2(key []byte) fields2 {
	switch string(key) {
	case "eventType":
		return eventType
	case "timestamp":
		return when2
	case "seqNo":
		return seqNo
	case "offline":
		return offline
	case "transactionInfo":
		return transactionInfo
	case "evse":
		return evse
	case "evseId":
		return evseID
	case "idToken":
		return idToken
	case "meterValue":
		return meterValue2
	case "connectorStatus":
		return connectorStatus
	}
	return 0
}

// payload2 holds the members of a payload as they were sent; absent where they were not.
type payload2 struct {
	event, at, seq, evse, transaction, charging, token, status jsontext.Scalar
	offline                                                    bool
}

// payload2 reads the object at b[i] and makes its readings. Members may stand in any order.
func (d *decoder) payload2(i int, action fields2) (next int) {
	var p payload2
	var seen fields2
	depth := d.base + 2
	i++
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			i = j
			break
		}
		f := fieldOf2(key) & action
		if seen&f != 0 {
			return d.fail(string(key), "said twice")
		}
		seen |= f
		switch f {
		case eventType:
			p.event, i = d.Scalar(j, depth)
		case when2:
			p.at, i = d.Scalar(j, depth)
		case seqNo:
			p.seq, i = d.Scalar(j, depth)
		case offline:
			p.offline = d.B[j] == 't'
			i = d.Skip(j, depth)
		case transactionInfo:
			p.transaction, p.charging, i = d.pair(j, depth, "transactionInfo", "transactionId", "chargingState")
		case evse:
			p.evse, _, i = d.pair(j, depth, "evse", "id", "")
		case evseID:
			p.evse, i = d.Scalar(j, depth)
		case idToken:
			p.token, _, i = d.pair(j, depth, "idToken", "idToken", "")
		case meterValue2:
			i = d.meterValues(j, "meterValue")
		case connectorStatus:
			p.status, i = d.Scalar(j, depth)
		default:
			i = d.Skip(j, depth)
		}
		if i < 0 {
			return -1
		}
	}
	if i < 0 || !d.readings2(&p, action, seen) {
		return -1
	}
	return i
}

// pair reads the object at b[i], which is inside of depth arrays and objects, for two members of it. What is no
// object, or null, has none. name is the object's, for errors; second may be "".
func (d *decoder) pair(i, depth int, name, first, second string) (a, b jsontext.Scalar, next int) {
	if d.B[i] != '{' {
		s, next := d.Scalar(i, depth)
		if next >= 0 && s.Kind != jsontext.Absent {
			next = d.fail(name, "not an object")
		}
		return a, b, next
	}
	seen := uint8(0)
	i++
	for begin := true; ; begin = false {
		key, j, more := d.Member(i, begin)
		if !more {
			return a, b, j
		}
		bit := uint8(0)
		switch string(key) {
		case first:
			bit = 1
		case second:
			bit = 2
		}
		if seen&bit != 0 {
			return a, b, d.fail(name+"."+string(key), "said twice")
		}
		seen |= bit
		switch bit {
		case 1:
			a, i = d.Scalar(j, depth+1)
		case 2:
			b, i = d.Scalar(j, depth+1)
		default:
			i = d.Skip(j, depth+1)
		}
		if i < 0 {
			return a, b, -1
		}
	}
}

// readings2 makes the readings of a payload; those of its meter values are there already.
func (d *decoder) readings2(p *payload2, action, seen fields2) bool {
	r := blank()
	var ok bool
	name := "evse.id"
	if action != actionEvent2 {
		name = "evseId"
	}
	if r.Connector, ok = d.connector(name, p.evse); !ok {
		return false
	}
	if p.offline {
		r.Flags |= rating.ReadingOffline
	}
	switch action {
	case actionMeterValues2:
		if seen&meterValue2 == 0 {
			return d.fail("meterValue", "missing") >= 0
		}
		for j := d.n; j < len(d.dst); j++ {
			d.dst[j].Connector = r.Connector
		}
		return true
	case actionStatus2:
		r.Kind, r.State = rating.KindStatus, stateOf(p.status)
		if r.State == rating.StateUnchanged {
			return true
		}
		if p.at.Kind != jsontext.Absent {
			r.AtMs, r.Flags = timestamp(p.at)
		}
		return d.emit(&r)
	}
	return d.event(&r, p)
}

// event makes the readings of a TransactionEvent. r has its connector and flags.
func (d *decoder) event(r *rating.Reading, p *payload2) bool {
	if p.transaction.Kind == jsontext.Absent || len(p.transaction.Text) == 0 && p.transaction.Kind == jsontext.String {
		return d.fail("transactionInfo.transactionId", "missing") >= 0
	}
	if p.transaction.Kind != jsontext.String {
		return d.fail("transactionInfo.transactionId", "not a string") >= 0
	}
	if fault := textFault(p.transaction.Text, MaxTransaction); fault != "" {
		return d.fail("transactionInfo.transactionId", fault) >= 0
	}
	r.Transaction = p.transaction.Text
	fault := "not a string"
	if p.token.Kind == jsontext.String || p.token.Kind == jsontext.Absent {
		fault = textFault(p.token.Text, MaxToken)
	}
	if fault != "" {
		return d.fail("idToken.idToken", fault) >= 0
	}
	r.Token = p.token.Text
	if !d.sequence(r, p.seq) {
		return false
	}
	atMs, flags := timestamp(p.at)
	r.AtMs, r.Flags = atMs, r.Flags|flags
	r.State = chargingStateOf(p.charging)
	for j := d.n; j < len(d.dst); j++ {
		m := &d.dst[j]
		m.Connector, m.Transaction, m.Flags = r.Connector, r.Transaction, m.Flags|r.Flags&rating.ReadingOffline
	}
	switch {
	case p.event.Kind != jsontext.String:
		return d.fail("eventType", "missing, or not a string") >= 0
	case string(p.event.Text) == "Started":
		return d.started(r)
	case string(p.event.Text) == "Updated":
		return d.updated(r)
	case string(p.event.Text) == "Ended":
		return d.ended(r)
	}
	return d.fail("eventType", fmt.Sprintf("%.60q is none of Started, Updated and Ended", p.event.Text)) >= 0
}

// started puts a start before the readings. Its register is the begin value, or the last one that was measured by then.
func (d *decoder) started(r *rating.Reading) bool {
	r.Kind, r.Context = rating.KindStart, rating.ContextBegin
	found := -1
	for j := d.n; j < len(d.dst); j++ {
		m := &d.dst[j]
		if m.RegisterMwh == rating.Unknown || m.Context == rating.ContextEnd {
			continue
		}
		if m.Context == rating.ContextBegin {
			found = j
			break
		}
		if r.AtMs != rating.Unknown && m.AtMs != rating.Unknown && m.AtMs <= r.AtMs {
			found = j
		}
	}
	d.absorb(r, found)
	return d.insert(d.n, r)
}

// updated makes a reading of what the event itself says: a state, a token. It comes after what was measured before it.
// The meter values have no sequence number: a station repeats them in its Ended event, and as one of several
// readings of a message they would need one each. They are known by time and register.
func (d *decoder) updated(r *rating.Reading) bool {
	if r.State == rating.StateUnchanged && len(r.Token) == 0 {
		return true
	}
	at := len(d.dst)
	for at > d.n && r.AtMs != rating.Unknown && d.dst[at-1].AtMs != rating.Unknown && d.dst[at-1].AtMs >= r.AtMs {
		at--
	}
	return d.insert(at, r)
}

// ended appends a stop. Its register is the end value.
func (d *decoder) ended(r *rating.Reading) bool {
	r.Kind, r.Context, r.State = rating.KindStop, rating.ContextEnd, rating.StateUnchanged
	found := -1
	for j := d.n; j < len(d.dst); j++ {
		if m := &d.dst[j]; m.RegisterMwh != rating.Unknown && m.Context == rating.ContextEnd {
			found = j
		}
	}
	d.absorb(r, found)
	if found < 0 {
		r.Flags |= rating.ReadingStopUnknown
	}
	return d.insert(len(d.dst), r)
}

// absorb moves what was measured from reading j to r, which takes its place; below 0 there is none.
func (d *decoder) absorb(r *rating.Reading, j int) {
	if j < 0 {
		return
	}
	m := &d.dst[j]
	r.RegisterMwh, r.ResolutionMwh, r.PowerMicroW, r.CurrentNanoA = m.RegisterMwh, m.ResolutionMwh, m.PowerMicroW, m.CurrentNanoA
	r.Flags |= m.Flags &^ (rating.ReadingNoZone | rating.ReadingAtUnreadable) // those are about another timestamp
	d.dst = append(d.dst[:j], d.dst[j+1:]...)
}

// insert puts r before reading j.
func (d *decoder) insert(j int, r *rating.Reading) bool {
	if !d.emit(r) {
		return false
	}
	copy(d.dst[j+1:], d.dst[j:len(d.dst)-1])
	d.dst[j] = *r
	return true
}

// sequence reads seqNo: a whole number from 0 up.
func (d *decoder) sequence(r *rating.Reading, s jsontext.Scalar) bool {
	if s.Kind == jsontext.Absent {
		return true
	}
	ok := s.Kind == jsontext.Number && len(s.Text) <= 18
	n := int64(0)
	for _, c := range s.Text {
		ok = ok && c-'0' <= 9
		n = n*10 + int64(c-'0')
	}
	if !ok {
		return d.fail("seqNo", fmt.Sprintf("%.60q is not a whole number from 0 up", s.Text)) >= 0
	}
	r.Seq = n
	return true
}

// chargingStateOf maps ChargingStateEnumType (OCPP 2.0.1 part 2, 3.10). EVConnected and Idle are no charging, and not
// the charge point's doing: authorised and not yet charging, or the cable is gone.
func chargingStateOf(s jsontext.Scalar) rating.ChargeState {
	if s.Kind != jsontext.String {
		return rating.StateUnchanged
	}
	switch string(trim(s.Text)) {
	case "Charging":
		return rating.StateCharging
	case "SuspendedEV":
		return rating.StateSuspendedEV
	case "SuspendedEVSE":
		return rating.StateSuspendedEVSE
	case "EVConnected", "Idle":
		return rating.StateIdle
	}
	return rating.StateUnchanged
}
