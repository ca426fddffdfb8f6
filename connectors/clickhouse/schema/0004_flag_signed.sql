-- Flag 20, signed, gets its name. The column is made of names in the program: tables made by a later program have it already.
ALTER TABLE {{.Database}}.sessions{{.OnCluster}}
    MODIFY COLUMN flag_names Array(String) ALIAS arrayMap(i -> arrayElement({{.FlagNames}}, i + 1), bitPositionsToArray(flags)) COMMENT 'names of the flags'
