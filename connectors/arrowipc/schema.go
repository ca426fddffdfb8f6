package arrowipc

import (
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
)

// Name is the name of this format in configuration.
const Name = "arrow"

// ContentType is the content-type of a record in this format: a stream, as Arrow registered it.
const ContentType = "application/vnd.apache.arrow.stream"

// Version is the version of the format: what the schema's metadata say under VersionKey, where they do.
const (
	Version    = "1"
	VersionKey = "wattline.reading.version"
)

// Limits of a message. What is beyond is refused.
const (
	MaxBytes       = 64 << 20 // of a message
	MaxReadings    = 65535    // the position of a reading in its message is 16 bits
	MaxChargePoint = 48       // bytes
	MaxTransaction = 36       // bytes
	MaxMessageID   = 36       // bytes
	MaxToken       = 255      // bytes
	MaxAtMs        = 253_402_300_799_999

	maxColumns  = 64 // of a schema
	maxMetadata = 256
)

// Accepts says whether a content-type header names this format. Parameters do not matter, nor does case.
func Accepts(contentType []byte) bool {
	media, _, _ := strings.Cut(string(contentType), ";")
	return strings.EqualFold(strings.TrimSpace(media), ContentType)
}

// column is a column of the schema.
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
	context
	resolutionMwh
	messageID
	token
	columns
	noColumn = columns
)

// columnType is what a column's values are. Texts may be dictionaries of texts, at_ms a timestamp.
type columnType uint8

const (
	typeText columnType = iota
	typeInt64
	typeInt32
	typeUint8
)

// width is the bytes of a value; of a text it is that of an offset.
func (t columnType) width() int64 { return [...]int64{4, 8, 4, 1}[t] }

// columnInfo is what is known of a column.
type columnInfo struct {
	name  string
	typ   columnType
	limit int64 // the greatest value, or the bytes of a text; 0: any int64
}

func infoOf(c column) columnInfo {
	return [columns]columnInfo{
		{"charge_point", typeText, MaxChargePoint},
		{"connector", typeInt32, 1<<31 - 1},
		{"transaction", typeText, MaxTransaction},
		{"at_ms", typeInt64, MaxAtMs},
		{"register_mwh", typeInt64, 0},
		{"power_uw", typeInt64, 0},
		{"current_na", typeInt64, 0},
		{"seq", typeInt64, 1<<63 - 1},
		{"state", typeUint8, 6},
		{"kind", typeUint8, 4},
		{"context", typeUint8, 4},
		{"resolution_mwh", typeInt64, 1<<63 - 1},
		{"message_id", typeText, MaxMessageID},
		{"token", typeText, MaxToken},
	}[c]
}

// columnNamed finds a column by its name, noColumn if there is none.
func columnNamed(name []byte) column {
	for c := range columns {
		if string(name) == infoOf(c).name {
			return c
		}
	}
	return noColumn
}

// Schema is the schema that Encode writes: all columns, nullable, without dictionaries. Decode takes any of them in any
// order. The caller must not change it.
func Schema() *arrow.Schema {
	types := map[columnType]arrow.DataType{
		typeText: arrow.BinaryTypes.String, typeInt64: arrow.PrimitiveTypes.Int64, typeInt32: arrow.PrimitiveTypes.Int32,
		typeUint8: arrow.PrimitiveTypes.Uint8,
	}
	var fields []arrow.Field
	for c := range columns {
		info := infoOf(c)
		fields = append(fields, arrow.Field{Name: info.name, Type: types[info.typ], Nullable: true})
	}
	md := arrow.NewMetadata([]string{VersionKey}, []string{Version})
	return arrow.NewSchema(fields, &md)
}
