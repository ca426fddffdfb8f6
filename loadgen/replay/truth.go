package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// Truth is what a session at a garage holds and costs; docs/REPLAY.md is the page of its JSON.
type Truth struct {
	Version     int    `json:"v"`
	Number      int    `json:"number"` // of the line in the file; it is the transaction, too
	ChargePoint string `json:"charge_point"`
	Transaction string `json:"transaction"`
	Tariff      string `json:"tariff"`
	Start       string `json:"start"`
	End         string `json:"end"`
	Readings    int    `json:"readings"`
	EnergyMwh   int64  `json:"energy_mwh"`
	ExclMicros  *int64 `json:"excl_micros"` // 1e-6 USD; null: unknown
	InclMicros  int64  `json:"incl_micros"`
	Impossible  bool   `json:"impossible"`
}

const truthVersion = 1

// Truths yields the oracle's truth of all sessions, garage by garage in order of the file. It takes about 5
// microseconds a reading. An error is one of the oracle's, and a bug of this package.
func (r *Replay) Truths(yield func(*Truth) error) error {
	data, err := rating.ZoneData(Zone)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocationFromTZData(Zone, data)
	if err != nil {
		return fmt.Errorf("time zone %s: %w", Zone, err)
	}
	var points []rating.Point
	for g, t := range Tariffs() {
		for i := range r.sessions {
			points = points[:0]
			for index := range r.count(i) {
				points = append(points, r.point(i, index))
			}
			bill, err := oracle.Price(t, zone, oracle.FromPoints(points))
			if err != nil {
				return fmt.Errorf("truth of session %d by %s: %w", r.sessions[i].Number, t.ID, err)
			}
			one := Truth{
				Version: truthVersion, Number: r.sessions[i].Number, ChargePoint: ChargePoint(g, r.sessions[i].Station), Transaction: strconv.Itoa(r.sessions[i].Number),
				Tariff: t.ID, Start: timeText(r.sessions[i].ArriveMs), End: timeText(r.stays[i].leaveMs), Readings: len(points),
				EnergyMwh: bill.EnergyMwh, InclMicros: micros(bill.InclText(6)), Impossible: r.Impossible(i),
			}
			if text, known := bill.ExclText(6); known {
				excl := micros(text)
				one.ExclMicros = &excl
			}
			if err := yield(&one); err != nil {
				return err
			}
		}
	}
	return nil
}

// micros reads a decimal text with exactly six decimals.
func micros(text string) int64 {
	v, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	if err != nil {
		invariant.Bug("the oracle gave %q as an amount", text)
	}
	return v
}

// WriteTruth writes the truth of all sessions as JSON lines. Errors: of w.
func (r *Replay) WriteTruth(w io.Writer) error {
	b := bufio.NewWriter(w)
	lines := json.NewEncoder(b)
	if err := r.Truths(func(t *Truth) error { return lines.Encode(t) }); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return nil
}
