CREATE TABLE IF NOT EXISTS {{.Database}}.charges{{.OnCluster}}
(
    -- Which block brought the row. Constant within an insert, so these cost next to nothing compressed.
    topic LowCardinality(String) COMMENT 'Kafka topic of the readings that caused the row',
    partition Int32 COMMENT 'Kafka partition of that topic' CODEC(ZSTD(1)),
    block_first Int64 COMMENT 'first offset of the block that brought the row: key of table blocks' CODEC(Delta, ZSTD(1)),
    position Int64 COMMENT 'source position of the reading that caused the row: offset x 65536 + index in the message' CODEC(Delta, ZSTD(1)),
    line UInt16 COMMENT 'order of the rows of one position and session, from 0' CODEC(T64, ZSTD(1)),

    -- What was charged where. LowCardinality pays for sites, tariffs and currencies (thousands of values, grouped by);
    -- charge points may be millions and stay plain strings.
    session_id UUID COMMENT 'session, as in table sessions' CODEC(ZSTD(1)),
    charge_point String COMMENT 'identity of the charge point as it calls itself' CODEC(ZSTD(1)),
    connector Int32 COMMENT 'connector (EVSE) of the charge point' CODEC(T64, ZSTD(1)),
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    tariff LowCardinality(String) COMMENT 'OCPI tariff that priced the row: country_code*party_id*id',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts of the row',

    -- Why the row exists.
    kind Enum8('usage' = 0, 'step' = 1, 'min' = 2, 'max' = 3, 'expiry' = 4, 'rounding' = 5) COMMENT 'usage while the session ran, else a settlement line at its end: step_size, minimum or maximum price, expired reservation, rounding' CODEC(ZSTD(1)),
    dimension Enum8('FLAT' = 0, 'ENERGY' = 1, 'TIME' = 2, 'PARKING_TIME' = 3, 'NONE' = 4) COMMENT 'OCPI tariff dimension; NONE: a limit or rounding of the whole session' CODEC(ZSTD(1)),
    split Enum8('start' = 0, 'clock' = 1, 'weekday' = 2, 'energy' = 3, 'duration' = 4, 'power' = 5, 'state' = 6) COMMENT 'what began the charging period of the row' CODEC(ZSTD(1)),
    element Int16 COMMENT 'index in the tariff''s elements, from 0; -1: nothing prices the quantity' CODEC(T64, ZSTD(1)),
    component Int16 COMMENT 'index in the element''s price_components, from 0; -1: none' CODEC(T64, ZSTD(1)),
    interpolated Bool COMMENT 'an end of the row is not a register value that the meter sent' CODEC(ZSTD(1)),
    period UInt32 COMMENT 'charging period of the session, from 0' CODEC(T64, ZSTD(1)),
    period_start DateTime64(3, 'UTC') COMMENT 'start of the charging period, UTC' CODEC(Delta, ZSTD(1)),
    from_time DateTime64(3, 'UTC') COMMENT 'start of the part of the period that the row covers, UTC' CODEC(Delta, ZSTD(1)),
    to_time DateTime64(3, 'UTC') COMMENT 'end of that part, UTC, exclusive' CODEC(Delta, ZSTD(1)),

    -- How much. Integers add up exactly; the aliases below are for people.
    energy_mwh Int64 COMMENT 'energy of an ENERGY row, milliwatt-hours, else 0; kind step: the extra billed' CODEC(T64, ZSTD(1)),
    duration_ms Int64 COMMENT 'time of a TIME or PARKING_TIME row, milliseconds, else 0; kind step: the extra billed' CODEC(T64, ZSTD(1)),
    excl_micros Nullable(Int64) COMMENT 'amount excluding VAT, 1e-6 of the currency; NULL where the tariff leaves it unknown' CODEC(ZSTD(1)),
    incl_micros Int64 COMMENT 'amount including VAT, 1e-6 of the currency' CODEC(T64, ZSTD(1)),
    price_nano Int64 COMMENT 'price of the component, 1e-9 of the currency per kWh, hour or session' CODEC(ZSTD(1)),
    vat_bp Int32 COMMENT 'VAT rate in basis points (2100 = 21 %); -1: no VAT applies' CODEC(ZSTD(1)),

    energy_kwh Decimal(38, 6) ALIAS toDecimal128(energy_mwh, 6) / 1000000 COMMENT 'energy, kWh',
    duration_s Decimal(38, 3) ALIAS toDecimal128(duration_ms, 3) / 1000 COMMENT 'time, seconds',
    excl Nullable(Decimal(38, 6)) ALIAS toDecimal128(excl_micros, 6) / 1000000 COMMENT 'amount excluding VAT, in the currency',
    incl Decimal(38, 6) ALIAS toDecimal128(incl_micros, 6) / 1000000 COMMENT 'amount including VAT, in the currency',
    price Decimal(38, 9) ALIAS toDecimal128(price_nano, 9) / 1000000000 COMMENT 'price of the component, in the currency per kWh, hour or session',
    vat_percent Nullable(Decimal(38, 2)) ALIAS if(vat_bp < 0, NULL, toDecimal128(vat_bp, 2) / 100) COMMENT 'VAT rate, percent; NULL: no VAT applies',

    -- A session's rows lie together only within its site; without the site this index finds them.
    INDEX session session_id TYPE bloom_filter(0.01) GRANULARITY 1,

    -- Rollups. They are part of the part that holds the rows, so they cannot disagree with them.
    PROJECTION by_hour
    (
        SELECT toStartOfHour(from_time), location, currency, count(), count(excl_micros), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros)
        GROUP BY toStartOfHour(from_time), location, currency
    ),
    PROJECTION by_hour_kind
    (
        SELECT toStartOfHour(from_time), location, currency, dimension, kind, count(), count(excl_micros), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros)
        GROUP BY toStartOfHour(from_time), location, currency, dimension, kind
    ),
    PROJECTION by_tariff
    (
        SELECT toDate(from_time), tariff, currency, element, component, dimension, kind, count(), count(excl_micros), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros)
        GROUP BY toDate(from_time), tariff, currency, element, component, dimension, kind
    ),
    PROJECTION by_block
    (
        SELECT topic, partition, block_first, toYYYYMM(from_time), count(), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros), sum(position)
        GROUP BY topic, partition, block_first, toYYYYMM(from_time)
    )
)
ENGINE = {{.MergeTree}}
PARTITION BY toYYYYMM(from_time)
PRIMARY KEY (location, from_time)
ORDER BY (location, from_time, session_id, position, line)
SETTINGS {{.Settings}}
COMMENT 'Ledger: a row is what one price component makes of one slice of one charging period of one session. Append-only; rows add up to the session''s price. An amendment is reversal rows and new rows.'
