CREATE TABLE IF NOT EXISTS {{.Database}}.blocks{{.OnCluster}}
(
    topic LowCardinality(String) COMMENT 'Kafka topic of the readings',
    partition Int32 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    block_first Int64 COMMENT 'first offset of the block' CODEC(Delta, ZSTD(1)),
    block_last Int64 COMMENT 'last offset of the block, inclusive; the next block begins behind it' CODEC(Delta, ZSTD(1)),
    readings Int64 COMMENT 'readings in the block' CODEC(T64, ZSTD(1)),
    rejects Int64 COMMENT 'readings that went to the rejects topic' CODEC(T64, ZSTD(1)),

    charges_rows Int64 COMMENT 'rows that the block put into charges' CODEC(T64, ZSTD(1)),
    charges_energy_mwh Int64 COMMENT 'their energy_mwh' CODEC(T64, ZSTD(1)),
    charges_duration_ms Int64 COMMENT 'their duration_ms' CODEC(T64, ZSTD(1)),
    charges_excl_micros Int64 COMMENT 'their known excl_micros' CODEC(T64, ZSTD(1)),
    charges_incl_micros Int64 COMMENT 'their incl_micros' CODEC(T64, ZSTD(1)),
    charges_positions Int64 COMMENT 'sum of their position, wrapping at 2^63' CODEC(ZSTD(1)),
    sessions_rows Int64 COMMENT 'versions that the block put into sessions' CODEC(T64, ZSTD(1)),
    sessions_energy_mwh Int64 COMMENT 'their energy_mwh' CODEC(T64, ZSTD(1)),
    sessions_duration_ms Int64 COMMENT 'their charging_ms, parking_ms and reservation_ms' CODEC(T64, ZSTD(1)),
    sessions_excl_micros Int64 COMMENT 'their known excl_micros' CODEC(T64, ZSTD(1)),
    sessions_incl_micros Int64 COMMENT 'their incl_micros' CODEC(T64, ZSTD(1)),
    sessions_versions Int64 COMMENT 'sum of their version, wrapping at 2^63' CODEC(ZSTD(1)),

    book_offset Int64 COMMENT 'offset of the reference log that names the book of tariffs and chargers used' CODEC(Delta, ZSTD(1)),
    rating_version Int32 COMMENT 'version of the pricing rules' CODEC(ZSTD(1)),
    checksum UInt64 COMMENT 'checksum of all rows of the block in order (docs/formats/block.md)' CODEC(NONE),
    watermark_ms Int64 COMMENT 'greatest Kafka record timestamp up to block_last, milliseconds since 1970 UTC' CODEC(Delta, ZSTD(1)),
    engine_id String COMMENT 'instance id of the engine that inserted the block' CODEC(ZSTD(1)),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the store took the block, UTC, by its own clock' CODEC(Delta, ZSTD(1)),

    watermark DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(watermark_ms, 'UTC') COMMENT 'greatest Kafka record timestamp up to block_last, UTC'
)
ENGINE = {{.MergeTree}}
ORDER BY (topic, partition, block_first)
SETTINGS {{.Settings}}
COMMENT 'A row proves that a block is whole: everything that the readings from block_first to block_last caused is in charges and sessions. Blocks of a partition tile its offsets without gap or overlap.'
