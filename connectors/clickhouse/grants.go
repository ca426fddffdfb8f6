package clickhouse

import (
	"errors"
	"regexp"
	"strings"
)

// ReaderName is the role, the settings profile and the user of ReaderSQL.
const ReaderName = "wattline_reader"

// sha256Hex is a SHA-256 as ClickHouse's IDENTIFIED WITH sha256_hash takes it.
var sha256Hex = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// ReaderSQL are the statements, without semicolons, that make a login on a ClickHouse server which may read the
// database and do nothing else: a role with SELECT on it, a settings profile with readonly and limits, and a user that has
// both, whose password has the SHA-256 passwordHash, 64 hex digits. A second run changes nothing but a profile that was
// altered. An error: passwordHash is none.
//
// The role has no right to any source, so file(), url(), s3(), remote() and their like are refused by the server. readonly is 2,
// not 1: clients such as Grafana send settings for how results look, and a user without rights to write gains nothing
// by them; the limits can not be raised beyond their MAX.
func ReaderSQL(c Config, passwordHash string) ([]string, error) {
	if !sha256Hex.MatchString(passwordHash) {
		return nil, errors.New("the hash of the reader's password is not a SHA-256 of 64 hex digits: printf %s PASSWORD | sha256sum")
	}
	c = c.withDefaults()
	on := c.schemaData().OnCluster
	return []string{
		"CREATE ROLE IF NOT EXISTS " + ReaderName + on,
		"GRANT" + on + " SELECT ON " + c.database() + ".* TO " + ReaderName,
		"CREATE SETTINGS PROFILE OR REPLACE " + ReaderName + on + " SETTINGS readonly = 2, allow_ddl = 0 CONST, allow_introspection_functions = 0 CONST, " +
			"max_execution_time = 60 MIN 1 MAX 600, max_memory_usage = 4000000000 MIN 1000000 MAX 8000000000, max_threads = 4 MIN 1 MAX 8, " +
			"max_result_bytes = 1000000000 MIN 1 MAX 10000000000 TO " + ReaderName,
		"CREATE USER IF NOT EXISTS " + ReaderName + on + " IDENTIFIED WITH sha256_hash BY '" + strings.ToLower(passwordHash) + "' DEFAULT ROLE " + ReaderName +
			" SETTINGS PROFILE '" + ReaderName + "'",
		"GRANT" + on + " " + ReaderName + " TO " + ReaderName,
	}, nil
}
