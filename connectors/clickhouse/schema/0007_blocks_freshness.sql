-- How far each partition is, kept with the rows: every view says it, and must not read all blocks of a year for it. Parts
-- that were there before go without until they are merged with newer ones; they are read row by row, and right.
ALTER TABLE {{.Database}}.blocks{{.OnCluster}}
    ADD PROJECTION IF NOT EXISTS by_partition
    (
        SELECT topic, partition, count(), max(block_last), max(watermark_ms), max(inserted_at), sum(readings), sum(rejects)
        GROUP BY topic, partition
    )
