-- A row is an OCPI charging period of a session: a stretch in which nothing that prices depend on changed. Amounts are
-- those of all rows of the period, settlement lines at the session's end included, so they add up to the session's price.
(
    session_id UUID COMMENT 'session',
    period UInt32 COMMENT 'charging period of the session, from 0',
    charge_point String COMMENT 'charge point',
    connector Int32 COMMENT 'connector (EVSE) of the charge point',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    tariff LowCardinality(String) COMMENT 'OCPI tariff: country_code*party_id*id',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    tier LowCardinality(String) COMMENT 'tier of the driver''s contract; empty without one',
    start_time DateTime64(3, 'UTC') COMMENT 'start of the period, UTC',
    end_time DateTime64(3, 'UTC') COMMENT 'end of the period as far as it is rated, UTC',
    split Enum8('start' = 0, 'clock' = 1, 'weekday' = 2, 'energy' = 3, 'duration' = 4, 'power' = 5, 'state' = 6) COMMENT 'what began the period',
    energy_kwh Decimal(38, 6) COMMENT 'energy delivered, kWh',
    charging_s Decimal(38, 3) COMMENT 'time charging, seconds',
    parking_s Decimal(38, 3) COMMENT 'time parked without charging, seconds',
    elements Array(Int16) COMMENT 'indexes of the tariff elements that priced it',
    interpolated Bool COMMENT 'an end of one of its rows is not a register value that the meter sent',
    excl Nullable(Decimal(38, 6)) COMMENT 'amount excluding VAT, in the currency; NULL where the tariff leaves it unknown',
    incl Decimal(38, 6) COMMENT 'amount including VAT, in the currency',
    settlement_incl Decimal(38, 6) COMMENT 'the part of incl from settlement lines: step, min, max, expiry, rounding',
    rows UInt64 COMMENT 'rows of charges behind it',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    session_id, period, charge_point, connector, location, tariff, currency, tier,
    min(period_start) AS start_time,
    max(to_time) AS end_time,
    argMin(split, (position, line)) AS split,
    toDecimal128(sumIf(energy_mwh, kind = 'usage'), 6) / 1000000 AS energy_kwh,
    toDecimal128(sumIf(duration_ms, kind = 'usage' AND dimension = 'TIME'), 3) / 1000 AS charging_s,
    toDecimal128(sumIf(duration_ms, kind = 'usage' AND dimension = 'PARKING_TIME'), 3) / 1000 AS parking_s,
    arraySort(groupUniqArrayIf(element, element >= 0)) AS elements,
    max(interpolated) AS interpolated,
    if(count() = count(excl_micros), toDecimal128(sum(excl_micros), 6) / 1000000, NULL) AS excl,
    toDecimal128(sum(incl_micros), 6) / 1000000 AS incl,
    toDecimal128(sumIf(incl_micros, kind != 'usage'), 6) / 1000000 AS settlement_incl,
    count() AS rows,
    assumeNotNull((SELECT min(watermark) FROM {{.Database}}.freshness)) AS complete_to
FROM {{.Database}}.charges
-- All but session_id and period are the same within a session; as keys they let a filter reach the primary key.
GROUP BY session_id, period, charge_point, connector, location, tariff, currency, tier
