CREATE TABLE IF NOT EXISTS {{.Database}}.schema_version{{.OnCluster}}
(
    version UInt32 COMMENT 'number of a schema file that was applied',
    name String COMMENT 'its name',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when, UTC, by the store''s clock'
)
ENGINE = {{.MergeTree}}
ORDER BY version
COMMENT 'Schema files that were applied. A program refuses a database with a number that it does not know.'
