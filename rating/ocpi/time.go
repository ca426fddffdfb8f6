package ocpi

import (
	"strings"
	"time"
)

const (
	msPerMinute = 60_000
	msPerDay    = 86_400_000
)

// instantText reads an RFC 3339 time in UTC without an offset: "2024-01-15T10:00:00[.fraction][Z]". It gives ms
// since 1970, floored, whether the text ends in Z, and whether anything but zeros lies beyond the millisecond.
func instantText(s string) (ms int64, zone, finer, ok bool) {
	body, zone := strings.CutSuffix(s, "Z")
	head, fraction, dotted := strings.Cut(body, ".")
	if len(head) != len("2006-01-02T15:04:05") || dotted && fraction == "" || strings.Trim(fraction, "0123456789") != "" {
		return 0, false, false, false
	}
	t, err := time.Parse("2006-01-02T15:04:05", head)
	if err != nil {
		return 0, false, false, false
	}
	padded := fraction + "000"
	for _, digit := range padded[:3] {
		ms = ms*10 + int64(digit-'0')
	}
	return t.Unix()*1000 + ms, zone, strings.Trim(padded[3:], "0") != "", true
}

// dateTime reads an OCPI DateTime: UTC, with or without the Z (OCPI types.asciidoc: a missing Z still means UTC).
func (r *reader) dateTime(n *node) (int64, bool) {
	s, ok := r.textOf(n)
	if !ok {
		return 0, false
	}
	ms, _, _, ok := instantText(s)
	if !ok {
		r.fault(n, "%s is not a UTC time (YYYY-MM-DDTHH:MM:SSZ)", n.what())
	}
	return ms, ok
}

// timeOfDay reads "HH:MM" as minutes after midnight.
func (r *reader) timeOfDay(n *node) (int32, bool) {
	s, ok := r.textOf(n)
	if !ok {
		return 0, false
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		r.fault(n, "%s is not a time of day (HH:MM)", n.what())
		return 0, false
	}
	return int32(t.Hour()*60 + t.Minute()), true
}

// date reads "YYYY-MM-DD" as days since 1970-01-01.
func (r *reader) date(n *node) (int32, bool) {
	s, ok := r.textOf(n)
	if !ok {
		return 0, false
	}
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		r.fault(n, "%s is not a date (YYYY-MM-DD)", n.what())
		return 0, false
	}
	return int32(floorDiv(t.Unix()*1000, msPerDay)), true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendInstant writes ms since 1970 as RFC 3339 with Z, the milliseconds only if there are any.
func appendInstant(dst []byte, ms int64) []byte {
	t := time.UnixMilli(ms).UTC()
	if ms%1000 == 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func appendTimeOfDay(dst []byte, minutes int32) []byte {
	return time.UnixMilli(int64(minutes)*msPerMinute).UTC().AppendFormat(dst, "15:04")
}

func appendDate(dst []byte, days int32) []byte {
	return time.UnixMilli(int64(days)*msPerDay).UTC().AppendFormat(dst, "2006-01-02")
}
