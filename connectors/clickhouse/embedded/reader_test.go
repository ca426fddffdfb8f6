package embedded

import (
	"net/http"
	"strings"
	"testing"
)

// asReader asks as the user who may only read.
func asReader(t *testing.T, s *Server, statement string) answer {
	t.Helper()
	return call(t, s, "POST", q("max_execution_time", "5"), strings.NewReader(statement), func(r *http.Request) { r.SetBasicAuth(UserReader, s.ReaderPassword()) })
}

// The reader is refused every table function that is not on the list of those that stay inside, whichever the engine
// has: also those that a new release brings.
func TestReaderTableFunctions(t *testing.T) {
	s := server(t)
	names := strings.Fields(sql(t, s, "SELECT name FROM system.table_functions ORDER BY name"))
	refused := 0
	for _, name := range names {
		if safeTableFunction(strings.ToLower(name)) {
			continue
		}
		refused++
		for _, statement := range []string{"SELECT * FROM " + name + "('x')", "DESCRIBE TABLE `" + name + "`()", "WITH a AS (SELECT 1 FROM /**/ " + name + " ('x')) SELECT * FROM a"} {
			if a := asReader(t, s, statement); a.status == 200 || !strings.Contains(a.body, "it can leave the database") {
				t.Errorf("%s: %d %s", statement, a.status, a.body)
			}
		}
	}
	t.Logf("%d of %d table functions are refused", refused, len(names))
	if refused < 20 {
		t.Errorf("only %d table functions were tried: are they still listed?", refused)
	}
}

// No table of the system, which the reader may look at, has a password in it, and what others run is seen without values.
func TestReaderSystemTables(t *testing.T) {
	s := server(t)
	secrets := []string{s.Password(), s.ReaderPassword()}
	seen := 0
	for name := range strings.FieldsSeq(sql(t, s, "SELECT name FROM system.tables WHERE database = 'system' ORDER BY name")) {
		if name == "stack_trace" {
			continue // waits a second for each thread of the process
		}
		a := asReader(t, s, "SELECT * FROM system.`"+name+"` LIMIT 10000 FORMAT JSONEachRow")
		if a.status == 200 {
			seen++
		}
		for _, secret := range secrets {
			if strings.Contains(a.body, secret) {
				t.Errorf("system.%s has a password", name)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d tables of the system could be read: that shows nothing", seen)
	}
}

// Nothing that changes anything is let through, whatever the statement is.
func TestReaderChangesNothing(t *testing.T) {
	s := server(t)
	sql(t, s, "CREATE TABLE kept (a Int64) ENGINE = MergeTree ORDER BY a")
	sql(t, s, "INSERT INTO kept VALUES (1), (2)")
	for _, statement := range []string{
		"INSERT INTO kept SELECT 3", "INSERT INTO FUNCTION file('x', 'CSV', 'a Int8') SELECT 1", "DELETE FROM kept WHERE a = 1", "UPDATE kept SET a = 3 WHERE a = 1",
		"ALTER TABLE kept UPDATE a = 3 WHERE 1", "ALTER TABLE kept ADD COLUMN b Int8", "ALTER TABLE kept MODIFY SETTING merge_max_block_size = 1", "ALTER TABLE kept DROP PARTITION tuple()",
		"RENAME TABLE kept TO gone", "EXCHANGE TABLES kept AND kept", "DETACH TABLE kept", "ATTACH TABLE kept", "UNDROP TABLE kept", "CREATE VIEW v AS SELECT 1",
		"CREATE MATERIALIZED VIEW m ENGINE = Memory AS SELECT * FROM kept", "CREATE DATABASE d", "DROP DATABASE default", "CREATE FUNCTION f AS (x) -> x",
		"CREATE DICTIONARY d (a Int64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'kept')) LAYOUT(FLAT()) LIFETIME(1)", "CREATE NAMED COLLECTION c AS a = 1", "CREATE USER u", "CREATE ROLE r",
		"GRANT ALL ON *.* TO reader", "REVOKE ALL ON *.* FROM default", "CREATE SETTINGS PROFILE p SETTINGS readonly = 0", "ALTER USER reader SETTINGS readonly = 0", "SET ROLE default",
		"SYSTEM RELOAD CONFIG", "SYSTEM STOP MERGES", "SYSTEM DROP MARK CACHE", "BEGIN TRANSACTION", "COMMIT", "EXECUTE AS default SELECT 1", "CHECK TABLE kept", "PARALLEL WITH DROP TABLE kept",
		"EXPLAIN AST DROP TABLE kept", "WITH x AS (SELECT 1) INSERT INTO kept SELECT 1", "(SELECT 1) INTO OUTFILE 'x'", "RESTORE TABLE kept FROM File('x')", "SHOW CREATE USER default",
	} {
		a := asReader(t, s, statement)
		if a.status == 200 && !strings.HasPrefix(statement, "EXPLAIN") {
			t.Errorf("%s went through: %q", statement, a.body)
		}
	}
	if got := sql(t, s, "SELECT count(), sum(a), (SELECT engine FROM system.tables WHERE name = 'kept' AND database = 'default') FROM kept"); got != "2\t3\tMergeTree" {
		t.Errorf("the table is now %s", got)
	}
}
