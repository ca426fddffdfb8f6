-- A row is a site that had a session whose place was known. What the reference log says of sites without one is not here.
(
    location LowCardinality(String) COMMENT 'OCPI location: country_code*party_id*id',
    zone String COMMENT 'IANA time zone of the location',
    charge_points UInt64 COMMENT 'charge points that had a session',
    connectors UInt64 COMMENT 'connectors that had a session',
    first_start DateTime64(3, 'UTC') COMMENT 'start of the first session, UTC',
    last_time DateTime64(3, 'UTC') COMMENT 'last reading of any session, UTC',
    complete_to DateTime64(3, 'UTC') COMMENT 'every partition is rated up to this record time, UTC: the smallest watermark of view freshness, the same in all rows'
)
AS SELECT
    location,
    any(s.zone) AS zone,
    uniqExact(charge_point) AS charge_points,
    uniqExact(charge_point, connector) AS connectors,
    min(start_time) AS first_start,
    max(s.last_time) AS last_time,
    assumeNotNull((SELECT min(watermark) FROM {{.Database}}.freshness)) AS complete_to
FROM {{.Database}}.sessions AS s
WHERE s.zone != ''
GROUP BY location
