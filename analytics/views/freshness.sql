-- A row is a partition of a readings topic: how far its rated rows have come.
(
    topic LowCardinality(String) COMMENT 'Kafka topic of the readings',
    partition Int32 COMMENT 'Kafka partition',
    last_offset Int64 COMMENT 'everything up to this offset, inclusive, is rated and stored',
    watermark DateTime64(3, 'UTC') COMMENT 'greatest record timestamp up to last_offset, UTC',
    inserted_at DateTime64(3, 'UTC') COMMENT 'when the newest block was stored, UTC, by the clock of the store',
    delay_s Decimal(38, 3) COMMENT 'inserted_at - watermark: how old readings were when their rows were stored, seconds',
    blocks UInt64 COMMENT 'blocks so far',
    readings Int64 COMMENT 'readings so far',
    rejects Int64 COMMENT 'readings so far that went to the rejects topic'
)
AS SELECT
    topic, partition,
    max(block_last) AS last_offset,
    max(watermark) AS watermark,
    max(inserted_at) AS inserted_at,
    toDecimal128(dateDiff('millisecond', argMax(b.watermark, b.block_first), argMax(b.inserted_at, b.block_first)), 3) / 1000 AS delay_s,
    count() AS blocks,
    sum(b.readings) AS readings,
    sum(b.rejects) AS rejects
FROM {{.Database}}.blocks AS b
GROUP BY topic, partition
