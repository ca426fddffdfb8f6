package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Session is a line of the file.
type Session struct {
	Number                         int   // of all lines behind the heads, from 1
	Station                        int   // in order of first arrival, from 0
	ArriveMs, LeaveMs, AnnouncedMs int64 // ms since 1970 UTC; AnnouncedMs is when the driver said that they would leave
	EnergyMwh                      int64
}

// ErrFile is wrapped by all faults of a file, with the line.
var ErrFile = errors.New("not a file of sessions")

// maxEnergyMwh is more than any car takes: 10 MWh.
const maxEnergyMwh = 10_000_000_000

// Reader reads files one after the other: numbers go on, stations are known again.
type Reader struct {
	Sessions []Session
	stations map[string]int
}

// Add reads a file of sessions in order of arrival, plain or gzip. Errors: ErrFile with the line; those of from.
func (r *Reader) Add(from io.Reader) error {
	buffered := bufio.NewReader(from)
	if head, err := buffered.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		buffered = bufio.NewReader(z)
	}
	c := csv.NewReader(buffered)
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil {
		return fmt.Errorf("%w: its head: %w", ErrFile, err)
	}
	var at columns
	if err := at.find(head); err != nil {
		return err
	}
	if r.stations == nil {
		r.stations = map[string]int{}
	}
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		if err := r.add(&at, fields); err != nil {
			line, _ := c.FieldPos(0)
			return fmt.Errorf("%w: line %d: %w", ErrFile, line, err)
		}
	}
}

// columns are where the columns that count stand; the others are not looked at.
type columns struct{ arrival, departure, energy, station, announced int }

func (c *columns) find(head []string) error {
	for _, want := range []struct {
		name string
		at   *int
	}{
		{"arrival", &c.arrival},
		{"departure", &c.departure},
		{"delivered_energy (kWh)", &c.energy},
		{"station_id", &c.station},
		{"estimated_departure", &c.announced},
	} {
		*want.at = -1
		for i, name := range head {
			if strings.TrimPrefix(name, "\ufeff") == want.name {
				*want.at = i
			}
		}
		if *want.at < 0 {
			return fmt.Errorf("%w: there is no column %q", ErrFile, want.name)
		}
	}
	return nil
}

func (r *Reader) add(at *columns, fields []string) (err error) {
	s := Session{Number: len(r.Sessions) + 1}
	for _, t := range []struct {
		text string
		ms   *int64
	}{{fields[at.arrival], &s.ArriveMs}, {fields[at.departure], &s.LeaveMs}, {fields[at.announced], &s.AnnouncedMs}} {
		if *t.ms, err = parseTime(t.text); err != nil {
			return err
		}
	}
	if s.EnergyMwh, err = parseKwh(fields[at.energy]); err != nil {
		return err
	}
	if s.LeaveMs <= s.ArriveMs || s.AnnouncedMs <= s.ArriveMs {
		return errors.New("it leaves before it arrives")
	}
	if s.LeaveMs-s.ArriveMs > 90*24*hourMs {
		return errors.New("it stays for more than 90 days")
	}
	if n := len(r.Sessions); n > 0 && s.ArriveMs < r.Sessions[n-1].ArriveMs {
		return errors.New("it arrives before the line before it: sessions have to be in order of arrival")
	}
	name := fields[at.station]
	station, known := r.stations[name]
	if !known {
		station = len(r.stations)
		r.stations[strings.Clone(name)] = station
	}
	s.Station = station
	r.Sessions = append(r.Sessions, s)
	return nil
}

func parseTime(text string) (ms int64, err error) {
	t, err := time.Parse("2006-01-02 15:04:05.999999999-07:00", text)
	if err != nil {
		return 0, fmt.Errorf("time %q is not like 2019-05-01 01:18:45-07:00", text)
	}
	if t.Year() < 2010 || t.Year() > 2100 {
		return 0, fmt.Errorf("time %q is not between 2010 and 2100", text)
	}
	return t.UnixMilli(), nil
}

// parseKwh reads a decimal text exactly and rounds it half up to mWh.
func parseKwh(text string) (mwh int64, err error) {
	bad := fmt.Errorf("energy %q is not a number of kWh like 12.345, at most 10000", text)
	whole, part, _ := strings.Cut(text, ".")
	if whole == "" || len(whole) > 6 || len(part) > 40 {
		return 0, bad
	}
	for i := range 7 { // the seventh digit decides
		whole += string(digit(part, i))
	}
	for _, c := range whole + part {
		if c < '0' || c > '9' {
			return 0, bad
		}
	}
	for _, c := range whole {
		mwh = mwh*10 + int64(c-'0')
	}
	mwh = (mwh + 5) / 10
	if mwh > maxEnergyMwh {
		return 0, bad
	}
	return mwh, nil
}

func digit(part string, i int) byte {
	if i < len(part) {
		return part[i]
	}
	return '0'
}
