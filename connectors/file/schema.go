package file

import (
	"fmt"
	"unicode/utf8"

	"github.com/wattline/wattline/rating"
)

// The columns of readings are those of connectors/arrowipc, and received.

// maxAtMs is the greatest time, ms since 1970 UTC: 9999-12-31T23:59:59.999Z.
const maxAtMs = 253_402_300_799_999

// column is a column of readings.
type column uint8

const (
	chargePoint column = iota
	connector
	transaction
	atMs
	registerMwh
	powerUW
	currentNA
	seq
	state
	kind
	readingContext
	resolutionMwh
	messageID
	token
	received
	columns
)

// columnKind is what a column may be written as.
type columnKind uint8

const (
	kindText columnKind = iota
	kindNumber
	kindTime // a number, or a timestamp
)

// columnInfo is what is known of a column.
type columnInfo struct {
	name  string
	kind  columnKind
	limit int64 // the greatest value, or the bytes of a text; 0: any int64 but the least
}

func infoOf(c column) columnInfo {
	return [columns]columnInfo{
		{"charge_point", kindText, 48},
		{"connector", kindNumber, 1<<31 - 1},
		{"transaction", kindText, 36},
		{"at_ms", kindTime, maxAtMs},
		{"register_mwh", kindNumber, 0},
		{"power_uw", kindNumber, 0},
		{"current_na", kindNumber, 0},
		{"seq", kindNumber, 1<<63 - 1},
		{"state", kindNumber, int64(rating.StateReservationExpired)},
		{"kind", kindNumber, int64(rating.KindStatus)},
		{"context", kindNumber, int64(rating.ContextOther)},
		{"resolution_mwh", kindNumber, 1<<63 - 1},
		{"message_id", kindText, 36},
		{"token", kindText, 255},
		{"received", kindTime, maxAtMs},
	}[c]
}

// columnsOf finds the columns of a file. One that is unknown, or of another type, is refused: a misspelt column would bill nothing
// without a trace.
func columnsOf(leaves []leaf) ([]column, error) {
	list, seen := make([]column, len(leaves)), [columns]bool{}
	for i := range leaves {
		l, c := &leaves[i], column(0)
		for c < columns && infoOf(c).name != l.name {
			c++
		}
		switch {
		case c == columns:
			return nil, fmt.Errorf("column %.60q is unknown", l.name)
		case seen[c]:
			return nil, fmt.Errorf("column %s is there twice", l.name)
		case l.children != 0 || l.repeated:
			return nil, fmt.Errorf("column %s is a list, or has columns of its own", l.name)
		case !l.fits(infoOf(c).kind):
			return nil, fmt.Errorf("column %s has the wrong type: docs/formats/parquet.md has the right one", l.name)
		}
		list[i], seen[c] = c, true
	}
	return list, nil
}

func (l *leaf) fits(k columnKind) bool {
	if k == kindText {
		return l.physical == typeByteArray && (l.as == asIs || l.as == asText)
	}
	integer := l.physical == typeInt64 || l.physical == typeInt32
	return integer && (l.as == asIs || l.as == asInteger) || k == kindTime && l.physical == typeInt64 && l.as == asUTCMillis
}

// row is a reading as a file has it.
type row struct {
	reading    rating.Reading
	receivedMs int64  // rating.Unknown: not said
	fault      string // why it can not be used; empty: it can
}

func (r *row) reset() {
	*r = row{receivedMs: rating.Unknown, reading: rating.Reading{
		AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: rating.Unknown,
	}}
}

// setNumber sets a column that is a number.
func (r *row) setNumber(c column, n int64) {
	info := infoOf(c)
	low, high := int64(0), info.limit
	if high == 0 {
		low, high = -(1<<63 - 1), 1<<63-1
	}
	if n < low || n > high {
		r.refuse(fmt.Sprintf("%s: %d is out of range: %d to %d", info.name, n, low, high))
		return
	}
	x := &r.reading
	switch c {
	case connector:
		x.Connector = int32(n)
	case atMs:
		x.AtMs = n
	case registerMwh:
		x.RegisterMwh = n
	case powerUW:
		x.PowerMicroW = n
	case currentNA:
		x.CurrentNanoA = n
	case seq:
		x.Seq = n
	case state:
		x.State = rating.ChargeState(n)
	case kind:
		x.Kind = rating.Kind(n)
	case readingContext:
		x.Context = rating.Context(n)
	case resolutionMwh:
		x.ResolutionMwh = n
	case received:
		r.receivedMs = n
	}
}

// setText sets a column that is a text. It keeps text. What a fault says has none of it: it may be a driver's token.
func (r *row) setText(c column, text []byte) {
	info := infoOf(c)
	switch {
	case int64(len(text)) > info.limit:
		r.refuse(fmt.Sprintf("%s: %d bytes, at most %d", info.name, len(text), info.limit))
		return
	case !utf8.Valid(text):
		r.refuse(info.name + ": not UTF-8")
		return
	}
	switch c {
	case chargePoint:
		r.reading.ChargePoint = text
	case transaction:
		r.reading.Transaction = text
	case messageID:
		r.reading.MessageID = text
	case token:
		r.reading.Token = text
	}
}

func (r *row) refuse(why string) {
	if r.fault == "" {
		r.fault = why
	}
}
