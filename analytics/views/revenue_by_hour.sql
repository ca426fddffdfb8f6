-- A row is what one site earned in one hour of UTC in one currency from one dimension and kind of charge. A row of charges
-- counts in the hour in which it begins.
(
    hour DateTime('UTC') COMMENT 'start of the hour, UTC',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    dimension Enum8('FLAT' = 0, 'ENERGY' = 1, 'TIME' = 2, 'PARKING_TIME' = 3, 'NONE' = 4) COMMENT 'what was charged for; NONE: limits and rounding of whole sessions',
    kind Enum8('usage' = 0, 'step' = 1, 'min' = 2, 'max' = 3, 'expiry' = 4, 'rounding' = 5) COMMENT 'usage while the session ran, else a settlement line at its end',
    rows UInt64 COMMENT 'rows of charges behind it',
    billed_kwh Decimal(38, 6) COMMENT 'energy of ENERGY rows, kWh; kind step: the extra billed, not delivered',
    billed_s Decimal(38, 3) COMMENT 'time of TIME and PARKING_TIME rows, seconds; kind step: the extra billed',
    excl Nullable(Decimal(38, 6)) COMMENT 'amount excluding VAT, in the currency; NULL if one of the rows leaves it unknown',
    incl Decimal(38, 6) COMMENT 'amount including VAT, in the currency',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    toStartOfHour(from_time) AS hour, location, currency, dimension, kind,
    count() AS rows,
    toDecimal128(sum(energy_mwh), 6) / 1000000 AS billed_kwh,
    toDecimal128(sum(duration_ms), 3) / 1000 AS billed_s,
    if(count() = count(excl_micros), toDecimal128(sum(excl_micros), 6) / 1000000, NULL) AS excl,
    toDecimal128(sum(incl_micros), 6) / 1000000 AS incl,
    assumeNotNull((SELECT min(watermark) FROM {{.Database}}.freshness)) AS complete_to
FROM {{.Database}}.charges
GROUP BY toStartOfHour(from_time), location, currency, dimension, kind
