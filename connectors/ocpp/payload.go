package ocpp

import (
	"fmt"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// fields is a set of the payloads' members that count.
type fields uint16

const (
	connectorID fields = 1 << iota
	transactionID
	idTag
	meterStart
	meterStop
	when // timestamp
	status
	meterValue
	transactionData
)

// An action is the set of the members that are read of its payload.
const (
	actionMeterValues = connectorID | transactionID | meterValue
	actionStart       = connectorID | idTag | meterStart | when
	actionStop        = idTag | meterStop | when | transactionID | transactionData
	actionStatus      = connectorID | status | when
	actionAnswer      = transactionID
)

// actionOf returns the members of an action's payload, none for the actions that carry nothing for the engine.
func actionOf(name []byte) fields {
	switch string(name) {
	case "MeterValues":
		return actionMeterValues
	case "StartTransaction":
		return actionStart
	case "StopTransaction":
		return actionStop
	case "StatusNotification":
		return actionStatus
	}
	return 0
}

func fieldOf(key []byte) fields {
	switch string(key) {
	case "connectorId":
		return connectorID
	case "transactionId":
		return transactionID
	case "idTag":
		return idTag
	case "meterStart":
		return meterStart
	case "meterStop":
		return meterStop
	case "timestamp":
		return when
	case "status":
		return status
	case "meterValue":
		return meterValue
	case "transactionData":
		return transactionData
	}
	return 0
}

// payload holds the members of a payload as they were sent.
type payload struct {
	connector, transaction, token, start, stop, at, status jsontext.Scalar
}

// payload reads the object at b[i] and makes its readings. Members may stand in any order.
func (d *decoder) payload(i int, action fields, id []byte) (next int) {
	var p payload
	var seen fields
	depth := d.base + 2
	i++
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			i = j
			break
		}
		f := fieldOf(key) & action
		if seen&f != 0 {
			return d.fail(string(key), "said twice")
		}
		seen |= f
		switch f {
		case connectorID:
			p.connector, i = d.Scalar(j, depth)
		case transactionID:
			p.transaction, i = d.Scalar(j, depth)
		case idTag:
			p.token, i = d.Scalar(j, depth)
		case meterStart:
			p.start, i = d.Scalar(j, depth)
		case meterStop:
			p.stop, i = d.Scalar(j, depth)
		case when:
			p.at, i = d.Scalar(j, depth)
		case status:
			p.status, i = d.Scalar(j, depth)
		case meterValue:
			i = d.meterValues(j, "meterValue")
		case transactionData:
			i = d.meterValues(j, "transactionData")
		default:
			i = d.Skip(j, depth)
		}
		if i < 0 {
			return -1
		}
	}
	if i < 0 || !d.readings(&p, action, seen, id) {
		return -1
	}
	return i
}

// readings makes the readings of a payload; those of its meter values are there already.
func (d *decoder) readings(p *payload, action, seen fields, id []byte) bool {
	r := blank()
	var ok bool
	if r.Connector, ok = d.connector("connectorId", p.connector); !ok {
		return false
	}
	if r.Transaction, ok = d.transaction(p.transaction); !ok {
		return false
	}
	switch action {
	case actionMeterValues:
		if seen&meterValue == 0 {
			return d.fail("meterValue", "missing") >= 0
		}
		for j := d.n; j < len(d.dst); j++ {
			d.dst[j].Connector, d.dst[j].Transaction = r.Connector, r.Transaction
		}
		return true
	case actionStatus:
		r.Kind, r.State = rating.KindStatus, stateOf(p.status)
		if r.State == rating.StateUnchanged {
			return true
		}
		if p.at.Kind != jsontext.Absent { // it is optional here
			r.AtMs, r.Flags = timestamp(p.at)
		}
		return d.emit(&r)
	case actionAnswer:
		if len(r.Transaction) == 0 {
			return true
		}
		r.Kind = rating.KindAnswer
		return d.messageID(&r, id) && d.emit(&r)
	}
	if r.Token, ok = d.token(p.token); !ok {
		return false
	}
	r.AtMs, r.Flags = timestamp(p.at)
	if action == actionStart {
		return d.start(&r, p, id)
	}
	return d.stop(&r, p)
}

func (d *decoder) start(r *rating.Reading, p *payload, id []byte) bool {
	if p.connector.Kind == jsontext.Absent {
		return d.fail("connectorId", "missing") >= 0
	}
	r.Kind, r.Context = rating.KindStart, rating.ContextBegin
	return d.register(r, "meterStart", p.start) && d.messageID(r, id) && d.emit(r)
}

// stop appends the end of a transaction. It comes after the readings of transactionData, which happened before.
func (d *decoder) stop(r *rating.Reading, p *payload) bool {
	if len(r.Transaction) == 0 {
		return d.fail("transactionId", "missing") >= 0
	}
	for j := d.n; j < len(d.dst); j++ {
		d.dst[j].Transaction = r.Transaction
	}
	r.Kind, r.Context = rating.KindStop, rating.ContextEnd
	if !d.register(r, "meterStop", p.stop) {
		return false
	}
	if r.RegisterMwh == rating.Unknown {
		r.Flags |= rating.ReadingStopUnknown
	}
	return d.emit(r)
}

// register reads meterStart or meterStop: whole Wh. A negative value (-1) or none means that it is not known.
func (d *decoder) register(r *rating.Reading, field string, s jsontext.Scalar) bool {
	if s.Kind == jsontext.Absent {
		return true
	}
	v, decimals, ok := decimalOf(s, scaleWh)
	if !ok {
		return d.notNumber(field, s) >= 0
	}
	if v >= 0 {
		r.RegisterMwh, r.ResolutionMwh = v, step(coarseness(scaleWh, decimals))
	}
	return true
}

// connector reads the number of a connector or EVSE, 0 if it is not said.
func (d *decoder) connector(field string, s jsontext.Scalar) (int32, bool) {
	n := int64(0)
	ok := s.Kind == jsontext.Absent || s.Kind != jsontext.Other && len(s.Text) > 0
	for _, c := range s.Text {
		if ok = ok && c-'0' <= 9; !ok {
			break
		}
		n = n*10 + int64(c-'0')
		ok = n < 1<<31
	}
	if !ok {
		d.fail(field, fmt.Sprintf("%.60q is not a connector's number", s.Text))
	}
	return int32(n), ok
}

// transaction reads a transaction id: the digits as they were sent, however large, or any text.
func (d *decoder) transaction(s jsontext.Scalar) ([]byte, bool) {
	whole := s.Kind != jsontext.Other
	if s.Kind == jsontext.Number {
		for i, c := range s.Text {
			whole = whole && (c-'0' <= 9 || c == '-' && i == 0)
		}
	}
	if !whole {
		d.fail("transactionId", fmt.Sprintf("%.60q is not a whole number", s.Text))
		return nil, false
	}
	if fault := textFault(s.Text, MaxTransaction); fault != "" {
		d.fail("transactionId", fault)
		return nil, false
	}
	if s.Kind == jsontext.Number && string(s.Text) == "-0" {
		return s.Text[1:], true
	}
	return s.Text, true
}

func (d *decoder) token(s jsontext.Scalar) ([]byte, bool) {
	fault := "not a string"
	if s.Kind != jsontext.Other {
		fault = textFault(s.Text, MaxToken)
	}
	if fault != "" {
		d.fail("idTag", fault)
	}
	return s.Text, fault == ""
}

// blank is a reading that says nothing.
func blank() rating.Reading {
	return rating.Reading{
		AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
		Seq: rating.Unknown,
	}
}

// stateOf maps ChargePointStatus (OCPP 1.6 section 7.7) to what it says about a running session; doc.go has the
// reasons.
func stateOf(s jsontext.Scalar) rating.ChargeState {
	if s.Kind != jsontext.String {
		return rating.StateUnchanged
	}
	switch string(trim(s.Text)) {
	case "Charging":
		return rating.StateCharging
	case "SuspendedEV":
		return rating.StateSuspendedEV
	case "SuspendedEVSE", "Faulted":
		return rating.StateSuspendedEVSE
	case "Finishing", "Available":
		return rating.StateIdle
	}
	return rating.StateUnchanged // Preparing, Reserved, Unavailable, unknown ones
}
