package clickhouse

import (
	"strings"
	"testing"
)

// The statements are ClickHouse's: its own parser takes each of them. (The embedded engine has no users, so what they do on a
// server is not seen here.)
func TestReaderSQL(t *testing.T) {
	s := newStore(t)
	hash := strings.Repeat("0aF", 21) + "0"
	for _, cluster := range []string{"", "a_cluster"} {
		c := s.cfg
		c.Cluster = cluster
		list, err := ReaderSQL(c, hash)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range list {
			if err := s.exec(t.Context(), "EXPLAIN AST "+sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			if strings.Contains(sql, " ON CLUSTER `a_cluster`") != (cluster != "") || strings.HasSuffix(sql, ";") {
				t.Errorf("cluster %q: %s", cluster, sql)
			}
		}
		all := strings.Join(list, "\n")
		if !strings.Contains(all, strings.ToLower(hash)) || strings.Count(all, "GRANT") != 2 || !strings.Contains(all, "SELECT ON "+s.cfg.database()+".* TO") {
			t.Errorf("more is granted than SELECT on the database and the role, or it has no password:\n%s", all)
		}
	}
	for _, bad := range []string{"", "secret", hash[:63], hash + "0", hash[:63] + "'"} {
		if _, err := ReaderSQL(s.cfg, bad); err == nil {
			t.Errorf("a hash %q was taken", bad)
		}
	}
}
