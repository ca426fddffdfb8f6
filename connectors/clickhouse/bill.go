package clickhouse

import (
	"context"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
)

// BillLine is what one price made of one charging period of a session, all slices together.
type BillLine struct {
	Period     uint32
	PeriodMs   int64  // start of the period, ms since 1970 UTC
	Split      string // what began it, as in column split of charges
	Kind       string
	Dimension  string
	Element    int16 // -1: nothing prices it
	PriceNano  int64 // 1e-9 of the currency per kWh, hour or session
	VATBp      int32 // basis points; -1: none applies
	Currency   string
	EnergyMwh  int64
	DurationMs int64
	ExclMicros int64 // of the rows that know it
	InclMicros int64
}

// Bill returns the lines of a session's rows, in the order of periods. location, if it is known, makes it quick: rows lie
// together by it.
func (s *Store) Bill(ctx context.Context, id engine.SessionID, location string) ([]BillLine, error) {
	const columns = "period, toUnixTimestamp64Milli(min(period_start)), toString(argMin(split, (position, line))), toString(kind), toString(dimension), element, price_nano, " +
		"vat_bp, any(currency), sum(energy_mwh), sum(duration_ms), sum(ifNull(excl_micros, 0)), sum(incl_micros)"
	sql := "SELECT " + columns + " FROM " + s.table("charges") + " WHERE session_id = {id:UUID}"
	params := ch.Parameters{"id": id.String()}
	if location != "" {
		sql += " AND location = {location:String}"
		params["location"] = location
	}
	sql += " GROUP BY period, kind, dimension, element, component, price_nano, vat_bp ORDER BY kind != 'usage', period, min(position), min(line)"
	var list []BillLine
	err := s.ask(ctx, sql, params, nil, func(r driver.Rows) error {
		var l BillLine
		err := r.Scan(&l.Period, &l.PeriodMs, &l.Split, &l.Kind, &l.Dimension, &l.Element, &l.PriceNano, &l.VATBp, &l.Currency,
			&l.EnergyMwh, &l.DurationMs, &l.ExclMicros, &l.InclMicros)
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the bill of session %s: %w", id, err)
	}
	return list, nil
}
