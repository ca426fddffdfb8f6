package clickhouse

import (
	"context"
	"fmt"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/wattline/wattline/engine"
)

// Ended returns those of the sessions that have ended, by their newest version: what they cost, and what names them. Position is the
// version. What no message has told the store yet is not there.
func (s *Store) Ended(ctx context.Context, ids []engine.SessionID) ([]engine.SessionView, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = "'" + id.String() + "'"
	}
	const columns = "toString(session_id), charge_point, connector, transaction, location, tariff, tier, currency, zone, toInt8(status), " +
		"toUnixTimestamp64Milli(start_time), toUnixTimestamp64Milli(last_time), excl_micros, incl_micros, energy_mwh, flags, topic, partition, version"
	var list []engine.SessionView
	err := s.ask(ctx, "SELECT "+columns+" FROM "+s.table("sessions")+" FINAL WHERE session_id IN {ids:Array(UUID)} AND status IN ('COMPLETED', 'PROVISIONAL')",
		ch.Parameters{"ids": "[" + strings.Join(texts, ",") + "]"}, nil, func(r driver.Rows) error {
			var v engine.SessionView
			var status int8
			var excl *int64
			var flags uint32
			err := r.Scan(&v.ID, &v.ChargePoint, &v.Connector, &v.Transaction, &v.Location, &v.Tariff, &v.Tier, &v.Currency, &v.Zone, &status,
				&v.StartMs, &v.LastMs, &excl, &v.Total.InclMicros, &v.Total.EnergyMwh, &flags, &v.Partition.Topic, &v.Partition.Number, &v.Position)
			v.Status, v.Flags = engine.SessionStatus(status), engine.SessionFlags(flags)
			if excl == nil {
				v.Total.ExclUnknown = true
			} else {
				v.Total.ExclMicros = *excl
			}
			list = append(list, v)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read ended sessions: %w", err)
	}
	return list, nil
}
