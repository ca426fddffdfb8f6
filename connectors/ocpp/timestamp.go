package ocpp

import (
	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// timestamp reads a time as chargers send it: RFC 3339, with a blank or a 't' for the 'T', with a comma for the
// point, an offset without colon or minutes, or no zone at all (UTC, and flagged). Finer than a millisecond is
// floored. What can not be read, like "" or "0000-00-00T00:00:00Z", is Unknown and flagged.
func timestamp(s jsontext.Scalar) (atMs int64, flags rating.ReadingFlags) {
	const unreadable = rating.ReadingAtUnreadable
	if s.Kind != jsontext.String {
		return rating.Unknown, unreadable
	}
	b := trim(s.Text)
	if len(b) < len("2006-01-02T15:04:05") || b[4] != '-' || b[7] != '-' || b[13] != ':' || b[16] != ':' ||
		b[10] != 'T' && b[10] != 't' && b[10] != ' ' {
		return rating.Unknown, unreadable
	}
	year, month, day := two(b, 0)*100+two(b, 2), two(b, 5), two(b, 8)
	hour, minute, second := two(b, 11), two(b, 14), two(b, 17)
	if two(b, 0) < 0 || two(b, 2) < 0 || year == 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 { // 60: a leap second
		return rating.Unknown, unreadable
	}
	ms, b, ok := fraction(b[19:])
	if !ok {
		return rating.Unknown, unreadable
	}
	offset, hasZone, ok := zone(b)
	if !ok {
		return rating.Unknown, unreadable
	}
	if !hasZone {
		flags = rating.ReadingNoZone
	}
	seconds := int64(daysSince1970(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset*60)
	return seconds*1000 + int64(ms), flags
}

// two reads two digits at b[i]; below 0 if they are none.
func two(b []byte, i int) int {
	high, low := b[i]-'0', b[i+1]-'0'
	if high > 9 || low > 9 {
		return -100000
	}
	return int(high)*10 + int(low)
}

// fraction reads the fraction of a second, if there is one, in whole ms, and returns the rest.
func fraction(b []byte) (ms int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' && b[0] != ',' {
		return 0, b, true
	}
	weight, i := 100, 1
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		ms += int(b[i]-'0') * weight
		weight /= 10
	}
	return ms, b[i:], i > 1
}

// zone reads Z, +01:00, +0100, +01 or nothing. offset is minutes east of UTC.
func zone(b []byte) (offset int, hasZone, ok bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	if b[0] == 'Z' || b[0] == 'z' {
		return 0, true, len(b) == 1
	}
	if b[0] != '+' && b[0] != '-' || len(b) < 3 {
		return 0, false, false
	}
	hours, minutes := two(b, 1), 0
	switch {
	case len(b) == 3:
	case len(b) == 5:
		minutes = two(b, 3)
	case len(b) == 6 && b[3] == ':':
		minutes = two(b, 4)
	default:
		return 0, false, false
	}
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false, false
	}
	offset = hours*60 + minutes
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar. Years begin in March here, so that the leap day is the
// last one and the months before it have the same lengths in every year.
func daysSince1970(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - 719468
}
