CREATE TABLE IF NOT EXISTS {{.Database}}.sessions{{.OnCluster}}
(
    session_id UUID COMMENT 'session: a keyed hash of charge point, connector and transaction',
    version Int64 COMMENT 'source position of the message that made this version: offset x 65536 + index in the message; the greatest is the newest' CODEC(Delta, ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Kafka topic of that message',
    partition Int32 COMMENT 'Kafka partition of that message' CODEC(ZSTD(1)),
    block_first Int64 COMMENT 'first offset of the block that brought the version: key of table blocks' CODEC(Delta, ZSTD(1)),
    first_offset Int64 COMMENT 'offset of the first message of the session' CODEC(Delta, ZSTD(1)),

    charge_point String COMMENT 'identity of the charge point as it calls itself' CODEC(ZSTD(1)),
    connector Int32 COMMENT 'connector (EVSE) of the charge point' CODEC(T64, ZSTD(1)),
    transaction String COMMENT 'transaction id as the charge point or its operator gave it' CODEC(ZSTD(1)),
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id; empty while unknown',
    zone LowCardinality(String) COMMENT 'IANA time zone of the location; empty while unknown',
    tariff LowCardinality(String) COMMENT 'OCPI tariff: country_code*party_id*id; empty while unknown',
    tariff_offset Int64 COMMENT 'offset in the reference log of the tariff version that prices the session; -1 while unknown' CODEC(ZSTD(1)),
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts; empty while unknown',

    status Enum8('RESERVED' = 1, 'ACTIVE' = 2, 'COMPLETED' = 3, 'PROVISIONAL' = 4, 'HELD' = 5, 'UNPRICEABLE' = 6) COMMENT 'PROVISIONAL: closed because readings stopped coming; HELD: priced once its charger and tariff are known; UNPRICEABLE: held with more readings than are kept' CODEC(ZSTD(1)),
    held_reason String COMMENT 'what is unknown while HELD or UNPRICEABLE, else empty' CODEC(ZSTD(1)),
    start_time DateTime64(3, 'UTC') COMMENT 'first known start, UTC' CODEC(Delta, ZSTD(1)),
    last_time DateTime64(3, 'UTC') COMMENT 'last reading, or the end, UTC' CODEC(Delta, ZSTD(1)),
    start_mwh Int64 COMMENT 'first register value, milliwatt-hours; 0 before there is one' CODEC(Delta, ZSTD(1)),
    last_mwh Int64 COMMENT 'last register value, milliwatt-hours; 0 before there is one' CODEC(Delta, ZSTD(1)),

    energy_mwh Int64 COMMENT 'energy so far, milliwatt-hours' CODEC(T64, ZSTD(1)),
    charging_ms Int64 COMMENT 'time charging, milliseconds' CODEC(T64, ZSTD(1)),
    parking_ms Int64 COMMENT 'time parked without charging, milliseconds' CODEC(T64, ZSTD(1)),
    reservation_ms Int64 COMMENT 'time reserved, milliseconds' CODEC(T64, ZSTD(1)),
    excl_micros Nullable(Int64) COMMENT 'price if the session ended at last_time, excluding VAT, 1e-6 of the currency; NULL where the tariff leaves it unknown' CODEC(ZSTD(1)),
    incl_micros Int64 COMMENT 'price if the session ended at last_time, including VAT, 1e-6 of the currency; final when COMPLETED' CODEC(T64, ZSTD(1)),
    overflow Bool COMMENT 'an amount is beyond 2^62 micros and was held there' CODEC(ZSTD(1)),
    accrued_excl_micros Int64 COMMENT 'sum of the known excl_micros of the session''s rows in charges up to this version' CODEC(T64, ZSTD(1)),
    accrued_incl_micros Int64 COMMENT 'sum of the incl_micros of the session''s rows in charges up to this version' CODEC(T64, ZSTD(1)),
    flags UInt32 COMMENT 'what was seen in the readings, bits as in docs/formats/flags.md; names in flag_names' CODEC(T64, ZSTD(1)),
    readings UInt32 COMMENT 'messages that had an effect' CODEC(T64, ZSTD(1)),

    energy_kwh Decimal(38, 6) ALIAS toDecimal128(energy_mwh, 6) / 1000000 COMMENT 'energy so far, kWh',
    excl Nullable(Decimal(38, 6)) ALIAS toDecimal128(excl_micros, 6) / 1000000 COMMENT 'price if ended at last_time, excluding VAT, in the currency',
    incl Decimal(38, 6) ALIAS toDecimal128(incl_micros, 6) / 1000000 COMMENT 'price if ended at last_time, including VAT, in the currency',
    flag_names Array(String) ALIAS arrayMap(i -> arrayElement({{.FlagNames}}, i + 1), bitPositionsToArray(flags)) COMMENT 'names of the flags',

    -- What each block brought, which outlives the versions themselves (see deduplicate_merge_projection_mode).
    PROJECTION by_block
    (
        SELECT topic, partition, block_first, toYYYYMM(start_time), count(), sum(energy_mwh), sum(charging_ms), sum(parking_ms), sum(reservation_ms), sum(excl_micros), sum(incl_micros), sum(version)
        GROUP BY topic, partition, block_first, toYYYYMM(start_time)
    )
)
ENGINE = {{.ReplacingMergeTree}}
-- By the first known start, which no version changes: versions in two partitions would never replace each other.
PARTITION BY toYYYYMM(start_time)
ORDER BY session_id
-- A merge drops replaced versions from the rows. With 'ignore' it adds the projection parts up as they are, so the
-- projection goes on to say what every block brought. That is what read-back and verify ask (never the rows).
SETTINGS {{.Settings}}, deduplicate_merge_projection_mode = 'ignore'
COMMENT 'Versions of sessions: a row is what a session was and cost at one source position. Only the newest counts: sum nothing here, use view sessions_latest.'
