-- A row is a session that has not ended: reserved, charging or parked, or held because its charger or tariff is unknown.
(
    session_id UUID COMMENT 'session',
    status Enum8('RESERVED' = 1, 'ACTIVE' = 2, 'COMPLETED' = 3, 'PROVISIONAL' = 4, 'HELD' = 5, 'UNPRICEABLE' = 6) COMMENT 'RESERVED, ACTIVE or HELD',
    charge_point String COMMENT 'charge point',
    connector Int32 COMMENT 'connector (EVSE) of the charge point',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id; empty while unknown',
    tariff LowCardinality(String) COMMENT 'OCPI tariff: country_code*party_id*id; empty while unknown',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    tier LowCardinality(String) COMMENT 'tier of the driver''s contract; empty without one',
    start_time DateTime64(3, 'UTC') COMMENT 'first known start, UTC',
    last_time DateTime64(3, 'UTC') COMMENT 'last reading that made a version, UTC',
    start_local Nullable(String) COMMENT 'start_time by the clock of the site, YYYY-MM-DD hh:mm:ss; NULL while the zone is unknown',
    energy_kwh Decimal(38, 6) COMMENT 'energy so far, kWh',
    excl Nullable(Decimal(38, 6)) COMMENT 'price if the session ended at last_time, excluding VAT, in the currency; NULL where unknown',
    incl Decimal(38, 6) COMMENT 'price if the session ended at last_time, including VAT, in the currency',
    held_reason String COMMENT 'what is unknown while HELD, else empty',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    session_id, status, charge_point, connector, location, tariff, currency, tier, start_time, last_time, start_local, energy_kwh,
    excl, incl, held_reason, complete_to
FROM {{.Database}}.sessions_latest
WHERE status IN ('RESERVED', 'ACTIVE', 'HELD')
