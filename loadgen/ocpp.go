package loadgen

import (
	"strconv"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
)

// AppendEvent appends r as a charging station of OCPP 2.0.1 tells it to dst: a frame with one TransactionEvent, without
// envelope, so that the record's key says the station. The reading names its transaction and connector. A reservation is
// no transaction in OCPP: a reading of one is told as one that says no state.
func AppendEvent(dst []byte, r *rating.Reading) []byte {
	event, trigger, context := "Updated", "MeterValuePeriodic", "Sample.Periodic"
	switch r.Kind {
	case rating.KindStart:
		event, trigger, context = "Started", "CablePluggedIn", "Transaction.Begin"
	case rating.KindStop:
		event, trigger, context = "Ended", "EVDeparted", "Transaction.End"
	}
	dst = append(dst, `[2,"`...)
	dst = strconv.AppendInt(append(append(dst, r.Transaction...), '-'), r.Seq, 10)
	dst = append(append(append(dst, `","TransactionEvent",{"eventType":"`...), event...), `","timestamp":"`...)
	dst = appendInstant(dst, r.AtMs)
	dst = append(append(append(dst, `","triggerReason":"`...), trigger...), `","seqNo":`...)
	dst = strconv.AppendInt(dst, r.Seq, 10)
	dst = append(append(append(dst, `,"transactionInfo":{"transactionId":"`...), r.Transaction...), '"')
	if state := eventState(r.State); state != "" && r.Kind != rating.KindStop {
		dst = append(append(append(dst, `,"chargingState":"`...), state...), '"')
	}
	dst = strconv.AppendInt(append(dst, `},"evse":{"id":`...), int64(r.Connector), 10)
	dst = append(dst, '}')
	if len(r.Token) > 0 {
		dst = append(append(append(dst, `,"idToken":{"idToken":"`...), r.Token...), `","type":"ISO14443"}`...)
	}
	dst = appendInstant(append(dst, `,"meterValue":[{"timestamp":"`...), r.AtMs)
	dst = append(dst, `","sampledValue":[`...)
	dst = appendSample(dst, context, "", registerText(r.RegisterMwh, r.ResolutionMwh), "kWh")
	if r.PowerMicroW != rating.Unknown {
		dst = appendSample(append(dst, ','), context, "Power.Active.Import", money.FormatDecimal(r.PowerMicroW, 6), "W")
	}
	if r.CurrentNanoA != rating.Unknown {
		dst = appendSample(append(dst, ','), context, "Current.Import", money.FormatDecimal(r.CurrentNanoA, 9), "A")
	}
	return append(dst, "]}]}]"...)
}

func appendInstant(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func appendSample(dst []byte, context, measurand, value, unit string) []byte {
	dst = append(append(append(dst, `{"value":`...), value...), `,"context":"`...)
	dst = append(append(dst, context...), '"')
	if measurand != "" {
		dst = append(append(append(dst, `,"measurand":"`...), measurand...), '"')
	}
	return append(append(append(dst, `,"unitOfMeasure":{"unit":"`...), unit...), `"}}`...)
}

// registerText is a register in kWh with as many decimals as its step has.
func registerText(mwh, stepMwh int64) string {
	decimals := 6
	for ; stepMwh >= 10 && stepMwh%10 == 0 && mwh%10 == 0 && decimals > 0; stepMwh /= 10 {
		mwh /= 10
		decimals--
	}
	return money.FormatDecimal(mwh, decimals)
}

// eventState is a state as OCPP names it; "" for one that it does not have.
func eventState(s rating.ChargeState) string {
	switch s {
	case rating.StateCharging:
		return "Charging"
	case rating.StateSuspendedEV:
		return "SuspendedEV"
	case rating.StateSuspendedEVSE:
		return "SuspendedEVSE"
	case rating.StateIdle:
		return "EVConnected"
	}
	return ""
}
