package wire

import (
	"fmt"
	"strings"
)

// Name is the name of this format in configuration.
const Name = "protobuf"

// ContentType is the content-type of a record in this format, of a Reading and of a ReadingBatch alike.
const ContentType = "application/x-protobuf"

// Version is the version of the format that Append writes. Decode reads this one only: it is the first.
const Version = 1

// The longest ids, bytes. OCPP 1.6 and 2.0.1 allow as much; the engine's state has the room.
const (
	MaxChargePoint = 48
	MaxTransaction = 36
	MaxMessageID   = 36
	MaxToken       = 255
)

// MaxReadings is how many readings a message may have: the position of a reading in its message is 16 bits.
const MaxReadings = 65535

// MaxAtMs is the last time that the format can say, ms since 1970 UTC: the end of the year 9999.
const MaxAtMs = 253_402_300_799_999

// Accepts says whether a content-type header names this format. Parameters are read: a messageType that is not
// one of ours is another format. Case does not matter.
func Accepts(contentType []byte) bool {
	media, params, _ := strings.Cut(string(contentType), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case ContentType, "application/protobuf", "application/vnd.google.protobuf":
	default:
		return false
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "messageType") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if value != "wattline.v1.Reading" && value != "wattline.v1.ReadingBatch" {
			return false
		}
	}
	return true
}

// Error is why a message can not be decoded.
type Error struct {
	Field  string // which field: "register_mwh", "readings[3].at_ms"; "message" when no field is known
	Offset int    // where in the value, bytes from its beginning
	Reason string // what was found and what is allowed
	// Malformed: no Protobuf decoder could read these bytes. Otherwise they are Protobuf, but not this format.
	Malformed bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("wire: %s at byte %d: %s", e.Field, e.Offset, e.Reason)
}

// The tags of the fields: number<<3 | wire type. A Reading's take one byte, a ReadingBatch's two.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeFixed32 = 5

	tagVersion     = 1<<3 | typeVarint
	tagChargePoint = 2<<3 | typeBytes
	tagConnector   = 3<<3 | typeVarint
	tagTransaction = 4<<3 | typeBytes
	tagAtMs        = 5<<3 | typeFixed64
	tagRegister    = 6<<3 | typeVarint
	tagPower       = 7<<3 | typeVarint
	tagCurrent     = 8<<3 | typeVarint
	tagSeq         = 9<<3 | typeVarint
	tagState       = 10<<3 | typeVarint
	tagKind        = 11<<3 | typeVarint
	tagContext     = 12<<3 | typeVarint
	tagResolution  = 13<<3 | typeVarint
	tagMessageID   = 14<<3 | typeBytes
	tagToken       = 15<<3 | typeBytes

	firstBatchField = 32

	tagBatchVersion     = 32<<3 | typeVarint
	tagBatchReadings    = 33<<3 | typeBytes
	tagBatchChargePoint = 34<<3 | typeBytes
	tagBatchConnector   = 35<<3 | typeVarint
	tagBatchTransaction = 36<<3 | typeBytes
)

// fieldName names a field by its number, as reading.proto does.
func fieldName(number uint64) string {
	names := [...]string{
		1: "version", 2: "charge_point", 3: "connector", 4: "transaction", 5: "at_ms", 6: "register_mwh",
		7: "power_uw", 8: "current_na", 9: "seq", 10: "state", 11: "kind", 12: "context", 13: "resolution_mwh",
		14: "message_id", 15: "token",
		32: "version", 33: "readings", 34: "charge_point", 35: "connector", 36: "transaction",
	}
	if number < uint64(len(names)) && names[number] != "" {
		return names[number]
	}
	return fmt.Sprintf("field %d", number)
}
