package outbox

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
)

// Price is a session's price as it is told to others (docs/formats/prices.md).
type Price struct {
	Session     identity.SessionID
	Offset      int64 // all messages of its partition below are in it
	Status      string
	ChargePoint string
	Connector   int32
	Transaction string
	StartMs     int64
	LastMs      int64 // the last reading
	Currency    string
	Total       rating.Total
	Flags       []string
}

// StatusText is the name of a session's status.
func StatusText(status uint8) string {
	return [...]string{"", "RESERVED", "ACTIVE", "COMPLETED", "PROVISIONAL", "HELD", "UNPRICEABLE"}[status]
}

// AppendPrice appends p as it is told of a session of src. Equal prices give equal bytes.
func AppendPrice(dst []byte, src Source, p *Price) []byte {
	dst = append(append(append(dst, `{"v":1,"id":"`...), p.Session.String()...), `","topic":`...)
	dst = appendText(dst, src.Topic)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(src.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), p.Offset, 10)
	dst = append(append(append(dst, `,"status":"`...), p.Status...), `","charge_point":`...)
	dst = appendText(dst, p.ChargePoint)
	dst = strconv.AppendInt(append(dst, `,"connector":`...), int64(p.Connector), 10)
	dst = appendText(append(dst, `,"transaction":`...), p.Transaction)
	dst = appendTime(append(dst, `,"start":`...), p.StartMs)
	dst = appendTime(append(dst, `,"last":`...), p.LastMs)
	t := &p.Total
	dst = strconv.AppendInt(append(dst, `,"energy_mwh":`...), t.EnergyMwh, 10)
	dst = strconv.AppendInt(append(dst, `,"charging_ms":`...), t.ChargingMs, 10)
	dst = strconv.AppendInt(append(dst, `,"parking_ms":`...), t.ParkingMs, 10)
	dst = strconv.AppendInt(append(dst, `,"reservation_ms":`...), t.ReservationMs, 10)
	dst = appendText(append(dst, `,"currency":`...), p.Currency)
	if t.ExclUnknown {
		dst = append(dst, `,"excl":null`...)
	} else {
		dst = append(money.AppendDecimal(append(dst, `,"excl":"`...), t.ExclMicros, 6), '"')
	}
	dst = append(money.AppendDecimal(append(dst, `,"incl":"`...), t.InclMicros, 6), `","flags":[`...)
	for i, f := range p.Flags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f...), '"')
	}
	return append(dst, "]}"...)
}

// appendTime writes a time as RFC 3339 with milliseconds.
func appendTime(dst []byte, ms int64) []byte {
	return append(time.UnixMilli(ms).UTC().AppendFormat(append(dst, '"'), "2006-01-02T15:04:05.000Z"), '"')
}

// appendText writes a JSON string: as it is where nothing is to be escaped, as nearly always.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string always marshals
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
