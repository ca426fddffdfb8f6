package ocpp

import (
	"encoding/binary"
	"math/bits"
)

// Members of a sampledValue.
const (
	fieldValue uint8 = 1 << iota
	fieldContext
	fieldFormat
	fieldMeasurand
	fieldPhase
	fieldLocation
	fieldUnit
)

func sampledField(key []byte) uint8 {
	switch string(key) {
	case "value":
		return fieldValue
	case "context":
		return fieldContext
	case "format":
		return fieldFormat
	case "measurand":
		return fieldMeasurand
	case "phase":
		return fieldPhase
	case "location":
		return fieldLocation
	case "unit":
		return fieldUnit
	}
	return 0
}

// fieldName is the name of one member of a sampledValue.
func fieldName(bit uint8) string {
	names := [...]string{"value", "context", "format", "measurand", "phase", "location", "unit"}
	return names[bits.TrailingZeros8(bit)]
}

// The first eight bytes of the members' keys with their quotes, as a little-endian number.
const (
	keyValue     = '"' | 'v'<<8 | 'a'<<16 | 'l'<<24 | 'u'<<32 | 'e'<<40 | '"'<<48 | ':'<<56
	keyContext   = '"' | 'c'<<8 | 'o'<<16 | 'n'<<24 | 't'<<32 | 'e'<<40 | 'x'<<48 | 't'<<56
	keyFormat    = '"' | 'f'<<8 | 'o'<<16 | 'r'<<24 | 'm'<<32 | 'a'<<40 | 't'<<48 | '"'<<56
	keyMeasurand = '"' | 'm'<<8 | 'e'<<16 | 'a'<<24 | 's'<<32 | 'u'<<40 | 'r'<<48 | 'a'<<56
	keyPhase     = '"' | 'p'<<8 | 'h'<<16 | 'a'<<24 | 's'<<32 | 'e'<<40 | '"'<<48 | ':'<<56
	keyLocation  = '"' | 'l'<<8 | 'o'<<16 | 'c'<<24 | 'a'<<32 | 't'<<40 | 'i'<<48 | 'o'<<56
	keyUnit      = '"' | 'u'<<8 | 'n'<<16 | 'i'<<24 | 't'<<32 | '"'<<40 | ':'<<48 | '"'<<56
)

// plainField is a short way for the members of a sampledValue as machines write them: no blanks, no escapes.
// i is as for member; the result is the member and the index of its value, which is there. 0: take the long way.
// Half of the strings in a message are these keys.
func plainField(b []byte, i int, first bool) (bit uint8, next int) {
	if len(b)-i < 16 {
		return 0, i
	}
	if !first {
		if b[i] != ',' {
			return 0, i
		}
		i++
	}
	k := b[i:]
	n := 0
	switch binary.LittleEndian.Uint64(k) {
	case keyValue:
		bit, n = fieldValue, 8
	case keyPhase:
		bit, n = fieldPhase, 8
	case keyUnit:
		bit, n = fieldUnit, 7
	case keyFormat:
		if k[8] == ':' {
			bit, n = fieldFormat, 9
		}
	case keyContext:
		if k[8] == '"' && k[9] == ':' {
			bit, n = fieldContext, 10
		}
	case keyMeasurand:
		if string(k[8:12]) == `nd":` {
			bit, n = fieldMeasurand, 12
		}
	case keyLocation:
		if string(k[8:11]) == `n":` {
			bit, n = fieldLocation, 11
		}
	}
	if bit == 0 || k[n] <= ' ' { // at least 15 bytes are there
		return 0, i
	}
	return bit, i + n
}
