-- The tier whose prices hold, for prices by tier without a join.
ALTER TABLE {{.Database}}.charges{{.OnCluster}}
    ADD COLUMN IF NOT EXISTS tier LowCardinality(String) COMMENT 'tier of the driver''s contract when the session was priced; empty without one' AFTER currency
