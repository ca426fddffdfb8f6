-- Who charged: the pseudonym of the token, the contract, its tier. Flag 21, late_token, gets its name.
ALTER TABLE {{.Database}}.sessions{{.OnCluster}}
    ADD COLUMN IF NOT EXISTS token_pseudonym String COMMENT 'driver''s token as 32 hex digits of a keyed pseudo-random function, the same for the same token and token_key_id; empty without a token' CODEC(ZSTD(1)) AFTER currency,
    ADD COLUMN IF NOT EXISTS token_key_id UInt32 COMMENT 'id of the key that made token_pseudonym; 0 without a token' CODEC(ZSTD(1)) AFTER token_pseudonym,
    ADD COLUMN IF NOT EXISTS contract String COMMENT 'id of the driver''s contract that was valid at the start; empty without one' CODEC(ZSTD(1)) AFTER token_key_id,
    ADD COLUMN IF NOT EXISTS tier LowCardinality(String) COMMENT 'tier of that contract when the session was priced; empty without one' AFTER contract,
    MODIFY COLUMN flag_names Array(String) ALIAS arrayMap(i -> arrayElement({{.FlagNames}}, i + 1), bitPositionsToArray(flags)) COMMENT 'names of the flags'
