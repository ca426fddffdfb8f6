-- A row is a session, as its newest version tells it. Prices are what the session costs if it ended at last_time; they
-- are final when status is COMPLETED.
(
    session_id UUID COMMENT 'session',
    status Enum8('RESERVED' = 1, 'ACTIVE' = 2, 'COMPLETED' = 3, 'PROVISIONAL' = 4, 'HELD' = 5, 'UNPRICEABLE' = 6) COMMENT 'PROVISIONAL: closed because readings stopped coming; HELD: priced once charger and tariff are known',
    charge_point String COMMENT 'charge point',
    connector Int32 COMMENT 'connector (EVSE) of the charge point',
    transaction String COMMENT 'transaction id',
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id; empty while unknown',
    zone LowCardinality(String) COMMENT 'IANA time zone of the location; empty while unknown',
    tariff LowCardinality(String) COMMENT 'OCPI tariff: country_code*party_id*id; empty while unknown',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    token_pseudonym String COMMENT 'driver''s token as 32 hex digits of a keyed pseudo-random function, the same for the same token and token_key_id; empty without a token',
    token_key_id UInt32 COMMENT 'id of the key that made token_pseudonym; 0 without a token',
    contract String COMMENT 'id of the driver''s contract that was valid at the start; empty without one',
    tier LowCardinality(String) COMMENT 'tier of that contract when the session was priced; empty without one',
    start_time DateTime64(3, 'UTC') COMMENT 'first known start, UTC',
    last_time DateTime64(3, 'UTC') COMMENT 'last reading, or the end, UTC',
    start_local Nullable(String) COMMENT 'start_time by the clock of the site, YYYY-MM-DD hh:mm:ss; NULL while the zone is unknown',
    last_local Nullable(String) COMMENT 'last_time by the clock of the site; NULL while the zone is unknown',
    energy_kwh Decimal(38, 6) COMMENT 'energy, kWh',
    charging_s Decimal(38, 3) COMMENT 'time charging, seconds',
    parking_s Decimal(38, 3) COMMENT 'time parked without charging, seconds',
    reservation_s Decimal(38, 3) COMMENT 'time reserved, seconds',
    excl Nullable(Decimal(38, 6)) COMMENT 'price excluding VAT, in the currency; NULL where the tariff leaves it unknown',
    incl Decimal(38, 6) COMMENT 'price including VAT, in the currency',
    flags Array(String) COMMENT 'what was seen in the readings (docs/formats/flags.md)',
    readings UInt32 COMMENT 'messages that had an effect',
    held_reason String COMMENT 'what is unknown while HELD or UNPRICEABLE, else empty',
    topic LowCardinality(String) COMMENT 'Kafka topic of the newest message',
    partition Int32 COMMENT 'its partition',
    version Int64 COMMENT 'its source position: offset x 65536 + index in the message'
)
AS SELECT
    session_id, status, charge_point, connector, transaction, location, zone, tariff, currency,
    token_pseudonym, token_key_id, contract, tier, start_time, last_time,
    if(zone = '', NULL, formatDateTime(start_time, '%F %T', if(zone = '', 'UTC', zone))) AS start_local,
    if(zone = '', NULL, formatDateTime(last_time, '%F %T', if(zone = '', 'UTC', zone))) AS last_local,
    energy_kwh,
    toDecimal128(charging_ms, 3) / 1000 AS charging_s,
    toDecimal128(parking_ms, 3) / 1000 AS parking_s,
    toDecimal128(reservation_ms, 3) / 1000 AS reservation_s,
    excl, incl, flag_names AS flags, readings, held_reason, topic, partition, version
FROM {{.Database}}.sessions FINAL
