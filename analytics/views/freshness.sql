-- A row is a partition of a readings topic: how far its rated rows have come. A partition that never had a reading has none.
(
    topic LowCardinality(String) COMMENT 'Kafka topic of the readings',
    partition Int32 COMMENT 'Kafka partition',
    last_offset Int64 COMMENT 'everything up to this offset, inclusive, is rated and stored',
    watermark DateTime64(3, 'UTC') COMMENT 'greatest record timestamp up to last_offset, UTC',
    inserted_at DateTime64(3, 'UTC') COMMENT 'when the newest block was stored, UTC, by the clock of the store',
    delay_s Decimal(38, 3) COMMENT 'inserted_at - watermark: how old readings were when their rows were stored, seconds',
    blocks UInt64 COMMENT 'blocks so far',
    readings Int64 COMMENT 'readings so far',
    rejects Int64 COMMENT 'readings so far that went to the rejects topic',
    complete_to DateTime64(3, 'UTC') COMMENT 'the smallest watermark of all partitions, UTC: what the other views call complete_to'
)
AS SELECT
    topic, partition, last_offset,
    fromUnixTimestamp64Milli(watermark_ms, 'UTC') AS watermark,
    stored AS inserted_at,
    toDecimal128(dateDiff('millisecond', fromUnixTimestamp64Milli(watermark_ms, 'UTC'), stored), 3) / 1000 AS delay_s,
    blocks, readings, rejects,
    fromUnixTimestamp64Milli(min(watermark_ms) OVER (), 'UTC') AS complete_to
FROM
(
    -- Grouped as the projection by_partition is, so that it answers. Both only grow in a partition.
    SELECT topic, partition, max(block_last) AS last_offset, max(b.watermark_ms) AS watermark_ms, max(b.inserted_at) AS stored,
        count() AS blocks, sum(b.readings) AS readings, sum(b.rejects) AS rejects
    FROM {{.Database}}.blocks AS b
    GROUP BY topic, partition
)
