package ocpp

import (
	"encoding/json"
	"math/big"
	"slices"

	"github.com/wattline/wattline/rating"
)

// The slow decoder of OCPP 2.x, beside that of 1.6.

func slowPair(v any, names ...string) (map[string]any, error) {
	if v == nil {
		return map[string]any{}, nil
	}
	o, ok := v.(object)
	if !ok {
		return nil, errSlow
	}
	return pick(o, names...)
}

func slowSampled2(o object) (s slowSample, use bool, err error) {
	m, err := pick(o, "value", "context", "measurand", "phase", "location", "unitOfMeasure", "signedMeterValue")
	if err != nil {
		return s, false, err
	}
	u, err := slowPair(m["unitOfMeasure"], "unit", "multiplier")
	if err != nil {
		return s, false, err
	}
	multiplier := 0
	if u["multiplier"] != nil {
		n, ok := u["multiplier"].(json.Number)
		x, ok2 := new(big.Int).SetString(n.String(), 10)
		if !ok || !ok2 || x.CmpAbs(big.NewInt(maxMultiplier)) > 0 {
			return s, false, errSlow
		}
		multiplier = int(x.Int64())
	}
	m["unit"], m["format"] = u["unit"], nil
	s, use, err = slowSample1(m, multiplier)
	_, s.signed = m["signedMeterValue"].(object)
	return s, use, err
}

func slowMeterValues2(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "evseId", "meterValue")
	if err != nil {
		return nil, err
	}
	connector, err := slowConnector(m["evseId"])
	if _, there := m["meterValue"]; err != nil || !there {
		return nil, errSlow
	}
	out, _, err := slowList(m["meterValue"], true)
	for i := range out {
		out[i].Connector = connector
	}
	return out, err
}

func slowStatus2(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "evseId", "connectorStatus", "timestamp")
	if err != nil {
		return nil, err
	}
	return slowStatus(object{{"connectorId", m["evseId"]}, {"status", m["connectorStatus"]}, {"timestamp", m["timestamp"]}}, "")
}

func slowEvent(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "eventType", "timestamp", "seqNo", "offline", "transactionInfo", "evse", "idToken", "meterValue")
	if err != nil {
		return nil, err
	}
	info, err := slowPair(m["transactionInfo"], "transactionId", "chargingState")
	if err != nil {
		return nil, err
	}
	evse, err := slowPair(m["evse"], "id")
	if err != nil {
		return nil, err
	}
	token, err := slowPair(m["idToken"], "idToken")
	if err != nil {
		return nil, err
	}
	r := blank()
	if r.Connector, err = slowConnector(evse["id"]); err != nil {
		return nil, err
	}
	id, err := slowID(info["transactionId"], MaxTransaction)
	if err != nil || id == "" {
		return nil, errSlow
	}
	idToken, err := slowID(token["idToken"], MaxToken)
	if err != nil {
		return nil, err
	}
	r.Transaction, r.Token = []byte(id), []byte(idToken)
	if m["seqNo"] != nil {
		n, ok := m["seqNo"].(json.Number)
		if !ok || !slowNatural.MatchString(n.String()) || len(n) > 18 {
			return nil, errSlow
		}
		r.Seq, _ = n.Int64()
	}
	if m["offline"] == true {
		r.Flags |= rating.ReadingOffline
	}
	word, _ := info["chargingState"].(string)
	r.State = map[string]rating.ChargeState{
		"Charging": rating.StateCharging, "SuspendedEV": rating.StateSuspendedEV, "SuspendedEVSE": rating.StateSuspendedEVSE,
		"EVConnected": rating.StateIdle, "Idle": rating.StateIdle,
	}[slowTrim(word)]
	list, signed, err := slowList(m["meterValue"], true)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Connector, list[i].Transaction = r.Connector, r.Transaction
		list[i].Flags |= r.Flags
	}
	at, flags := slowTime(m["timestamp"])
	r.AtMs, r.Flags = at, r.Flags|flags|signed
	switch m["eventType"] {
	case "Started":
		return slowStarted(r, list), nil
	case "Updated":
		if r.State == rating.StateUnchanged && idToken == "" {
			return list, nil
		}
		i := len(list)
		for i > 0 && at != rating.Unknown && list[i-1].AtMs != rating.Unknown && list[i-1].AtMs >= at {
			i--
		}
		return slices.Insert(list, i, r), nil
	case "Ended":
		return slowEnded(r, list), nil
	}
	return nil, errSlow
}

// slowTake gives the measured values of list[i] to r and takes it out of the list.
func slowTake(r *rating.Reading, list []rating.Reading, i int) []rating.Reading {
	m := list[i]
	r.RegisterMwh, r.ResolutionMwh, r.PowerMicroW, r.CurrentNanoA = m.RegisterMwh, m.ResolutionMwh, m.PowerMicroW, m.CurrentNanoA
	r.Flags |= m.Flags & (rating.ReadingPhaseSum | rating.ReadingUnitGuessed)
	return slices.Delete(list, i, i+1)
}

func slowStarted(r rating.Reading, list []rating.Reading) []rating.Reading {
	r.Kind, r.Context = rating.KindStart, rating.ContextBegin
	begin := slices.IndexFunc(list, func(m rating.Reading) bool { return m.Context == rating.ContextBegin })
	if begin < 0 && r.AtMs != rating.Unknown {
		for i, m := range list {
			if m.Context != rating.ContextEnd && m.RegisterMwh != rating.Unknown && m.AtMs != rating.Unknown && m.AtMs <= r.AtMs {
				begin = i
			}
		}
	}
	if begin >= 0 {
		list = slowTake(&r, list, begin)
	}
	return slices.Insert(list, 0, r)
}

func slowEnded(r rating.Reading, list []rating.Reading) []rating.Reading {
	r.Kind, r.Context, r.State = rating.KindStop, rating.ContextEnd, rating.StateUnchanged
	end := -1
	for i, m := range list {
		if m.Context == rating.ContextEnd {
			end = i
		}
	}
	if end >= 0 {
		list = slowTake(&r, list, end)
	} else {
		r.Flags |= rating.ReadingStopUnknown
	}
	return append(list, r)
}
