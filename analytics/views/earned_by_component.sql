-- A row is what one price component of a tariff earned at one site in one hour, by UTC and by the clock of the site: it says
-- where revenue comes from, and why. A row of charges counts in the hour in which it begins.
(
    hour DateTime('UTC') COMMENT 'start of the hour, UTC',
    hour_local String COMMENT 'start of the hour by the clock of the site, YYYY-MM-DD hh:00:00',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    tariff LowCardinality(String) COMMENT 'OCPI tariff: country_code*party_id*id',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    dimension Enum8('FLAT' = 0, 'ENERGY' = 1, 'TIME' = 2, 'PARKING_TIME' = 3, 'NONE' = 4) COMMENT 'what was charged for; NONE: limits and rounding of whole sessions',
    kind Enum8('usage' = 0, 'step' = 1, 'min' = 2, 'max' = 3, 'expiry' = 4, 'rounding' = 5) COMMENT 'usage while the session ran, else a settlement line at its end',
    element Int16 COMMENT 'index in the tariff elements, from 0; -1: nothing prices the quantity',
    component Int16 COMMENT 'index in the price_components of the element, from 0; -1: none',
    price Decimal(38, 9) COMMENT 'price of the component, in the currency per kWh, hour or session; another version of the tariff is another row',
    vat_percent Nullable(Decimal(38, 2)) COMMENT 'VAT rate, percent; NULL: no VAT applies',
    rows UInt64 COMMENT 'rows of charges behind it',
    energy_kwh Decimal(38, 6) COMMENT 'energy delivered, kWh, what step_size added not included',
    billed_kwh Decimal(38, 6) COMMENT 'energy of ENERGY rows, kWh; kind step: the extra billed, not delivered',
    billed_s Decimal(38, 3) COMMENT 'time of TIME and PARKING_TIME rows, seconds; kind step: the extra billed',
    excl Nullable(Decimal(38, 6)) COMMENT 'amount excluding VAT, in the currency; NULL if one of the rows leaves it unknown',
    incl Decimal(38, 6) COMMENT 'amount including VAT, in the currency',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    toStartOfHour(from_time) AS hour,
    formatDateTime(from_time, '%F %H:00:00', if(zone = '', 'UTC', zone)) AS hour_local,
    location, tariff, currency, dimension, kind, element, component,
    toDecimal128(price_nano, 9) / 1000000000 AS price,
    if(vat_bp < 0, NULL, toDecimal128(vat_bp, 2) / 100) AS vat_percent,
    count() AS rows,
    toDecimal128(sumIf(energy_mwh, kind = 'usage'), 6) / 1000000 AS energy_kwh,
    toDecimal128(sum(energy_mwh), 6) / 1000000 AS billed_kwh,
    toDecimal128(sum(duration_ms), 3) / 1000 AS billed_s,
    if(count() = count(excl_micros), toDecimal128(sum(excl_micros), 6) / 1000000, NULL) AS excl,
    toDecimal128(sum(incl_micros), 6) / 1000000 AS incl,
    assumeNotNull((SELECT min(watermark) FROM {{.Database}}.freshness)) AS complete_to
FROM {{.Database}}.charges
ANY LEFT JOIN (SELECT location, any(s.zone) AS zone FROM {{.Database}}.sessions AS s WHERE s.zone != '' GROUP BY location) AS sites USING location
GROUP BY hour, hour_local, location, tariff, currency, dimension, kind, element, component, price_nano, vat_bp
