package jsonreading

import (
	"strings"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// Name is the name of this format in configuration.
const Name = "json"

// ContentType is the content-type of a record in this format.
const ContentType = "application/vnd.wattline.reading+json"

// Version is the version of the format: what the member version says, where it is there.
const Version = 1

// Limits of a message. What is beyond is refused.
const (
	MaxBytes       = 64 << 20          // of a message
	MaxReadings    = 65535             // the position of a reading in its message is 16 bits
	MaxDepth       = jsontext.MaxDepth // arrays and objects inside of each other, in what is skipped
	MaxChargePoint = 48                // bytes
	MaxTransaction = 36                // bytes
	MaxMessageID   = 36                // bytes
	MaxToken       = 255               // bytes
	MaxAtMs        = 253_402_300_799_999
)

// Accepts says whether a content-type header names this format. Parameters do not matter, nor does case.
func Accepts(contentType []byte) bool {
	media, _, _ := strings.Cut(string(contentType), ";")
	return strings.EqualFold(strings.TrimSpace(media), ContentType)
}

// The words of the enumerations, by their numbers. They are those of reading.proto without the prefix.
func stateWords() [7]string {
	return [...]string{"UNCHANGED", "CHARGING", "SUSPENDED_EV", "SUSPENDED_EVSE", "IDLE", "RESERVED", "RESERVATION_EXPIRED"}
}
func kindWords() [5]string    { return [...]string{"METER", "START", "ANSWER", "STOP", "STATUS"} }
func contextWords() [5]string { return [...]string{"PERIODIC", "BEGIN", "CLOCK", "END", "OTHER"} }

func stateOf(word []byte) (rating.ChargeState, bool) {
	switch string(word) {
	case "CHARGING":
		return rating.StateCharging, true
	case "SUSPENDED_EV":
		return rating.StateSuspendedEV, true
	case "SUSPENDED_EVSE":
		return rating.StateSuspendedEVSE, true
	case "IDLE":
		return rating.StateIdle, true
	case "RESERVED":
		return rating.StateReserved, true
	case "RESERVATION_EXPIRED":
		return rating.StateReservationExpired, true
	}
	return rating.StateUnchanged, string(word) == "UNCHANGED"
}

func kindOf(word []byte) (rating.Kind, bool) {
	switch string(word) {
	case "START":
		return rating.KindStart, true
	case "ANSWER":
		return rating.KindAnswer, true
	case "STOP":
		return rating.KindStop, true
	case "STATUS":
		return rating.KindStatus, true
	}
	return rating.KindMeter, string(word) == "METER"
}

func contextOf(word []byte) (rating.Context, bool) {
	switch string(word) {
	case "BEGIN":
		return rating.ContextBegin, true
	case "CLOCK":
		return rating.ContextClock, true
	case "END":
		return rating.ContextEnd, true
	case "OTHER":
		return rating.ContextOther, true
	}
	return rating.ContextPeriodic, string(word) == "PERIODIC"
}

// field is a member of a reading. registerWh and registerKWh are other ways to say registerMwh.
type field uint8

const (
	unknownField field = iota
	version
	chargePoint
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
	registerWh
	registerKWh
	fields
)

func fieldOf(key []byte) field {
	switch string(key) {
	case "at_ms":
		return atMs
	case "register_mwh":
		return registerMwh
	case "power_uw":
		return powerUW
	case "seq":
		return seq
	case "transaction":
		return transaction
	case "connector":
		return connector
	case "charge_point":
		return chargePoint
	case "state":
		return state
	case "kind":
		return kind
	case "context":
		return context
	case "current_na":
		return currentNA
	case "resolution_mwh":
		return resolutionMwh
	case "message_id":
		return messageID
	case "token":
		return token
	case "version":
		return version
	case "register_wh":
		return registerWh
	case "register_kwh":
		return registerKWh
	}
	return unknownField
}

// fieldName is the member's name.
func fieldName(f field) string {
	names := [fields]string{
		"", "version", "charge_point", "connector", "transaction", "at_ms", "register_mwh", "power_uw", "current_na", "seq",
		"state", "kind", "context", "resolution_mwh", "message_id", "token", "register_wh", "register_kwh",
	}
	return names[f]
}

// misspelt is the known member that key is but for case and underscores, "" if there is none.
func misspelt(key []byte) string {
	if len(key) > 32 {
		return ""
	}
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	text := plain(string(key))
	for f := version; f < fields; f++ {
		if plain(fieldName(f)) == text {
			return fieldName(f)
		}
	}
	return ""
}
