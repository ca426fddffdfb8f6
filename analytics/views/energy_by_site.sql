-- A row is what one site delivered in one hour of UTC: energy, and the time that cars charged and parked.
(
    hour DateTime('UTC') COMMENT 'start of the hour, UTC',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    energy_kwh Decimal(38, 6) COMMENT 'energy delivered, kWh, what step_size added not included',
    charging_s Decimal(38, 3) COMMENT 'time charging, seconds, over all sessions of the site',
    parking_s Decimal(38, 3) COMMENT 'time parked without charging, seconds, over all sessions of the site',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    hour, location,
    toDecimal128(sum(energy), 6) / 1000000 AS energy_kwh,
    toDecimal128(sumIf(duration, dimension = 'TIME'), 3) / 1000 AS charging_s,
    toDecimal128(sumIf(duration, dimension = 'PARKING_TIME'), 3) / 1000 AS parking_s,
    assumeNotNull((SELECT min(watermark) FROM {{.Database}}.freshness)) AS complete_to
FROM
(
    -- Grouped as the projection by_hour_kind is, so that it answers.
    SELECT toStartOfHour(from_time) AS hour, location, dimension, sum(energy_mwh) AS energy, sum(duration_ms) AS duration
    FROM {{.Database}}.charges
    WHERE kind = 'usage'
    GROUP BY toStartOfHour(from_time), location, dimension
)
GROUP BY hour, location
