package embedded

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func q(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

func TestPlainHTTP(t *testing.T) {
	s := server(t)
	f := func(method string, params url.Values, body string, wantStatus int, want string) {
		t.Helper()
		a := call(t, s, method, params, strings.NewReader(body))
		if a.status != wantStatus || !strings.Contains(a.body, want) {
			t.Errorf("%s %v %q: %d %q, want %d %q", method, params, body, a.status, a.body, wantStatus, want)
		}
	}
	f("POST", nil, "SELECT 1", 200, "1\n")
	f("GET", q("query", "SELECT 1 FORMAT JSONEachRow"), "", 200, `{"1":1}`)
	f("POST", q("query", "SELECT 1"), "+ 1", 200, "2\n")
	f("POST", q("default_format", "CSV"), "SELECT 'a', 2", 200, "\"a\",2\n")
	f("POST", nil, "SELECT 'a;b', 1; -- end", 200, "a;b\t1\n")
	f("POST", nil, "SELECT 1 AS a FORMAT PrettyCompact", 200, "   ┌─a─┐\n1. │ 1 │\n   └───┘\n")
	f("POST", q("output_format_pretty_color", "1"), "SELECT 1 FORMAT PrettyCompact", 200, "\x1b[")
	f("POST", nil, "SELECT 1 WHERE 0 FORMAT JSON", 200, `"rows": 0`)
	f("POST", q("param_x", "7", "param_t", "system.one"), "SELECT {x:UInt8} FROM {t:Identifier}", 404, "Code: 60")
	f("POST", q("param_x", "7", "param_t", "one"), "SELECT {x:UInt8} FROM system.{t:Identifier}", 200, "7\n")
	f("POST", q("database", "system"), "SELECT count() > 0 FROM one", 200, "1\n")
	f("POST", q("database", "nowhere"), "SELECT 1", 404, "Code: 81")
	f("POST", q("max_threads", "x"), "SELECT 1", 400, "Code: ")
	f("POST", q("no_such", "1"), "SELECT 1", 404, "Unknown setting 'no_such'")
	f("POST", q("max_execution_time", "1"), "SELECT sleepEachRow(0.1) FROM numbers(100) SETTINGS max_block_size=1", 504, "TIMEOUT_EXCEEDED")
	f("POST", q("max_memory_usage", "1000000"), "SELECT groupArray(number) FROM numbers(10000000)", 500, "MEMORY_LIMIT")
	f("POST", nil, "", 400, "Empty query")
	f("POST", nil, " -- nothing\n", 400, "Empty query")
	f("POST", nil, "SELECT 1; SELECT 2", 400, "Multi-statements are not allowed")
	f("POST", nil, "SELECT 1 INTO OUTFILE '/tmp/never'", 500, "INTO_OUTFILE_NOT_ALLOWED")
	f("POST", nil, "EXPLAIN SELECT 1", 200, "ReadFromSystemOne")
	f("POST", nil, "DESCRIBE system.one", 200, "dummy\tUInt8")
	f("POST", nil, "SHOW DATABASES", 200, "default")
	f("POST", nil, "(SELECT 1) UNION ALL (SELECT 1)", 200, "1\n1\n")
	f("POST", nil, "WITH 5 AS x SELECT x", 200, "5\n")
	f("POST", nil, "SYSTEM SHUTDOWN", 501, "stop the store")
	f("GET", q("query", "CREATE TABLE never (a Int8) ENGINE = Memory"), "", 500, "READONLY")
	f("POST", nil, "CREATE TABLE by_get (a Int8) ENGINE = Memory", 200, "")
	f("GET", q("query", "INSERT INTO by_get VALUES (1)"), "", 500, "READONLY")
	f("PUT", q("query", "SELECT 1"), "", 405, "not allowed")
	f("POST", q("query_id", "a\nb"), "SELECT 1", 400, "query_id")
	f("POST", q("wait_end_of_query", "1"), "SELECT throwIf(number = 9000000) FROM numbers(10000000)", 500, "Code: 395")
}

func TestConfigReachesTheEngine(t *testing.T) {
	s := server(t)
	if got := sql(t, s, "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"); got != fmt.Sprint(6<<30) {
		t.Errorf("MaxMemoryBytes: %s", got)
	}
	got := sql(t, s, "SELECT getSetting('max_threads'), getSetting('implicit_select'), getSetting('allow_introspection_functions')")
	if got != "2\tfalse\tfalse" {
		t.Errorf("settings: %s", got)
	}
	if got := sql(t, s, "SELECT count() FROM system.settings WHERE name = '"+killSetting+"' AND value LIKE 'wattline-%'"); got != "1" {
		t.Error("the engine no longer has the setting by which queries are killed")
	}
}

func TestHeaders(t *testing.T) {
	s := server(t)
	a := call(t, s, "POST", q("query_id", "id-1"), strings.NewReader("SELECT number FROM numbers(10) FORMAT JSONEachRow"))
	for k, want := range map[string]string{
		"X-ClickHouse-Query-Id": "id-1", "X-ClickHouse-Format": "JSONEachRow",
		"X-ClickHouse-Timezone": "UTC", "Content-Type": "application/x-ndjson; charset=UTF-8",
	} {
		if got := a.header.Get(k); got != want && k != "X-ClickHouse-Timezone" || got == "" {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if !strings.Contains(a.header.Get("X-ClickHouse-Summary"), `"read_rows":"10"`) || len(a.header.Get("X-ClickHouse-Exception-Tag")) != 16 {
		t.Errorf("summary or tag: %v", a.header)
	}
	a = call(t, s, "POST", nil, strings.NewReader("SELECT x"))
	if a.header.Get("X-ClickHouse-Exception-Code") != "47" || a.header.Get("X-ClickHouse-Query-Id") == "" {
		t.Errorf("error headers: %v", a.header)
	}
	res, err := http.Get("http://" + s.Addr() + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if string(b) != "Ok.\n" {
		t.Errorf("ping: %q", b)
	}
}

func TestMidStreamExceptionBlock(t *testing.T) {
	s := server(t)
	a := call(t, s, "POST", nil, strings.NewReader("SELECT number, throwIf(number = 3000000) FROM numbers(10000000) SETTINGS max_threads = 1"))
	tag := a.header.Get("X-ClickHouse-Exception-Tag")
	tail := a.body[max(0, len(a.body)-600):]
	if a.status != 200 || !strings.Contains(tail, "\r\n__exception__\r\n"+tag+"\r\nCode: 395.") || !strings.HasSuffix(tail, " "+tag+"\r\n__exception__\r\n") {
		t.Errorf("%d %q", a.status, tail)
	}
}

func TestAuthentication(t *testing.T) {
	s := server(t)
	f := func(set func(*http.Request), wantStatus int, want string) {
		t.Helper()
		a := call(t, s, "POST", nil, strings.NewReader("SELECT 41 + 1"), func(r *http.Request) {
			r.Header.Del("Authorization")
			set(r)
		})
		if a.status != wantStatus || !strings.Contains(a.body, want) {
			t.Errorf("%d %q, want %d %q", a.status, a.body, wantStatus, want)
		}
	}
	f(func(*http.Request) {}, 401, "REQUIRED_PASSWORD")
	f(func(r *http.Request) { r.SetBasicAuth(UserDefault, "wrong") }, 403, "password is incorrect")
	f(func(r *http.Request) { r.SetBasicAuth(UserDefault, "") }, 403, "AUTHENTICATION_FAILED")
	f(func(r *http.Request) { r.SetBasicAuth("nobody", s.Password()) }, 403, "nobody: Authentication failed")
	f(func(r *http.Request) { r.SetBasicAuth(UserReader, s.Password()) }, 403, "AUTHENTICATION_FAILED")
	f(func(r *http.Request) { r.SetBasicAuth(UserReader, s.ReaderPassword()) }, 200, "42")
	f(func(r *http.Request) { r.SetBasicAuth(UserDefault, s.Password()) }, 200, "42")
	f(func(r *http.Request) {
		r.Header.Set("X-ClickHouse-User", UserDefault)
		r.Header.Set("X-ClickHouse-Key", s.Password())
	}, 200, "42")
	f(func(r *http.Request) { r.URL.RawQuery = q("password", s.Password()).Encode() }, 200, "42")
	for _, name := range []string{defaultPasswordFile, readerPasswordFile} {
		st, err := os.Stat(filepath.Join(s.cfg.DataDir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
}

// TestReaderStaysInside: I4, each of these once got out by one of the two gates.
func TestReaderStaysInside(t *testing.T) {
	s := server(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sql(t, s, "CREATE TABLE inside (file String, url String) ENGINE = MergeTree ORDER BY file")
	sql(t, s, "INSERT INTO inside VALUES ('f', 'u')")
	reader := func(r *http.Request) { r.SetBasicAuth(UserReader, s.ReaderPassword()) }
	out := filepath.Join(t.TempDir(), "out")
	for _, statement := range []string{
		"SELECT * FROM file('SECRET', 'CSV')", "DESC TABLE file('SECRET')", "DESCRIBE /* x */ `file`('SECRET')",
		"SELECT file('SECRET')", "SELECT FILE('SECRET')", "SELECT \"file\"  ('SECRET')", "SELECT `fi\\x6ce`('SECRET')",
		"SELECT * APPLY(file) FROM (SELECT 'SECRET' AS x)", "SELECT * APPLY file FROM (SELECT 'SECRET' AS x)",
		"SELECT * FROM `SECRET`", "SELECT * FROM 'SECRET'", "DESC `SECRET`", "SELECT * FROM default.`SECRET`",
		"SELECT 1 INTO OUTFILE 'OUT'", "SELECT 1 INTO /**/ OUTFILE 'OUT'", "INSERT INTO inside FROM INFILE 'SECRET' FORMAT CSV",
		"DESC url('http://127.0.0.1:1/')", "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int8')",
		"SELECT * FROM remote('127.0.0.1:1', system.one)", "DESC s3('http://127.0.0.1:1/bucket/k', 'CSV')",
		"EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:1', 'a', 'b', 'c', 'd') COLUMNS (id Int8)",
		"SELECT * FROM eval('SELECT 1')", "SELECT catboostEvaluate('SECRET', 1)",
		"SELECT * FROM executable('ls', 'TSV', 'a String')", "SELECT * FROM mergeTreeIndex('default', file('SECRET'))",
		"CREATE TABLE never (a Int8) ENGINE = Memory", "INSERT INTO inside VALUES ('x', 'y')", "DROP TABLE inside",
		"ALTER TABLE inside DELETE WHERE 1", "TRUNCATE TABLE inside", "OPTIMIZE TABLE inside", "SET max_threads = 1",
		"USE system", "KILL QUERY WHERE 1", "SYSTEM FLUSH LOGS", "SELECT 1 SETTINGS readonly = 0", "SELECT 1; DROP TABLE inside",
		"BACKUP TABLE inside TO File('OUT')", "CREATE TEMPORARY TABLE x (a Int8)", "EXPLAIN SELECT * FROM file('SECRET')",
	} {
		statement = strings.NewReplacer("SECRET", secret, "OUT", out).Replace(statement)
		a := call(t, s, "POST", nil, strings.NewReader(statement), reader)
		if a.status == 200 {
			t.Errorf("%s went through: %q", statement, a.body)
		}
		if strings.Contains(a.body, "Connection refused") || strings.Contains(a.body, "1,2") {
			t.Errorf("%s reached the host: %s", statement, a.body)
		}
	}
	for _, p := range []url.Values{q("readonly", "0"), q("readonly", "2"), q("allow_ddl", "1"), q("session_id", "x"), q("allow_introspection_functions", "1")} {
		if a := call(t, s, "POST", p, strings.NewReader("SELECT 1"), reader); a.status == 200 {
			t.Errorf("the reader may set %v", p)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
	for statement, want := range map[string]string{
		"SELECT file, url FROM inside": "f\tu\n", "SELECT count() FROM numbers(5)": "5\n", "EXISTS TABLE inside": "1\n",
		"SELECT getSetting('readonly')": "1\n", "SELECT 'x -- file(' FROM merge('default', '^inside$')": "x -- file(\n",
	} {
		if a := call(t, s, "GET", q("query", statement, "max_execution_time", "5"), nil, reader); a.body != want {
			t.Errorf("%s: %q, want %q", statement, a.body, want)
		}
	}
}

func TestInsertFormats(t *testing.T) {
	s := server(t)
	native := call(t, s, "POST", nil, strings.NewReader("SELECT toInt64(7) AS a, 'n' AS b FORMAT Native")).body
	rowBinary := call(t, s, "POST", nil, strings.NewReader("SELECT toInt64(8) AS a, 'r' AS b FORMAT RowBinary")).body
	sql(t, s, "CREATE TABLE formats (a Int64, b String) ENGINE = MergeTree ORDER BY a")
	f := func(params url.Values, body, want string) {
		t.Helper()
		sql(t, s, "TRUNCATE TABLE formats")
		if a := call(t, s, "POST", params, strings.NewReader(body)); a.status != 200 {
			t.Fatalf("%v %q: %d %s", params, body, a.status, a.body)
		}
		if got := sql(t, s, "SELECT a, b FROM formats ORDER BY a FORMAT CSV"); got != want {
			t.Errorf("%v %q: %q, want %q", params, body, got, want)
		}
	}
	f(nil, "INSERT INTO formats VALUES (1, 'x'), (2, 'y')", "1,\"x\"\n2,\"y\"")
	f(nil, "INSERT INTO formats VALUES (1, 'x;y');", "1,\"x;y\"")
	f(nil, "INSERT INTO formats (b, a) VALUES ('x', 1 + 1)", "2,\"x\"")
	f(q("query", "INSERT INTO formats VALUES"), "(3, 'z')", "3,\"z\"")
	f(q("query", "INSERT INTO formats"), "(4, 'z')", "4,\"z\"")
	f(nil, "INSERT INTO formats FORMAT CSV\n5,csv\n6,csv\n", "5,\"csv\"\n6,\"csv\"")
	f(q("query", "INSERT INTO formats FORMAT JSONEachRow"), `{"a":6,"b":"j"}`+"\n", "6,\"j\"")
	f(q("query", "INSERT INTO formats FORMAT Native;"), native, "7,\"n\"")
	f(q("query", "INSERT INTO formats FORMAT RowBinary"), rowBinary, "8,\"r\"")
	f(nil, "INSERT INTO formats FORMAT Native\n"+native, "7,\"n\"")
	f(nil, "INSERT INTO formats SETTINGS input_format_null_as_default = 1 FORMAT TSV\n9\tt\n", "9,\"t\"")
	f(nil, "INSERT INTO formats SELECT 10, 's'", "10,\"s\"")
	f(nil, "INSERT INTO formats (a, b) (SELECT 10, 'p')", "10,\"p\"")
	f(q("param_v", "11", "param_s", "it's"), "INSERT INTO formats VALUES ({v:Int64}, {s:String})", `11,"it's"`)
	f(q("param_t", "formats"), "INSERT INTO {t:Identifier} FORMAT TSV\n12\ti\n", "12,\"i\"")

	big := strings.Repeat("(1, 'abcdefghij'),", 500_000) // 9 MB: past the head, into the file
	f(nil, "INSERT INTO formats VALUES "+strings.TrimSuffix(big[:18*3], ","), strings.TrimSuffix(strings.Repeat("1,\"abcdefghij\"\n", 3), "\n"))
	if a := call(t, s, "POST", nil, strings.NewReader("INSERT INTO formats VALUES "+big[:len(big)-1])); a.status != 200 {
		t.Fatal(a.body)
	} else if !strings.Contains(a.header.Get("X-ClickHouse-Summary"), `"written_rows":"500000"`) {
		t.Error(a.header)
	}
	if got := sql(t, s, "SELECT count() FROM formats"); got != "500003" {
		t.Errorf("big VALUES: %s rows", got)
	}
	for _, bad := range []string{
		"INSERT INTO formats FORMAT Native\n" + native[:len(native)-1], "INSERT INTO formats FORMAT CSV\nx,y\n",
		"INSERT INTO formats VALUES (1, 'a'); DROP TABLE formats", "INSERT INTO nowhere VALUES (1)", "INSERT INTO formats FORMAT NoSuch\nx",
	} {
		if a := call(t, s, "POST", nil, strings.NewReader(bad)); a.status == 200 {
			t.Errorf("%q went through", bad)
		}
	}
	a := call(t, s, "POST", q("param_v", "1"), strings.NewReader("INSERT INTO formats VALUES ({v:Int64}, 'x'); DROP TABLE formats"))
	if a.status != 400 || !strings.Contains(a.body, "Multi-statements") {
		t.Errorf("second statement behind values: %d %s", a.status, a.body)
	}
	if got := sql(t, s, "SELECT count() FROM formats"); got != "500003" {
		t.Errorf("something landed: %s rows", got)
	}
}

func TestBodyEncodings(t *testing.T) {
	s := server(t)
	sql(t, s, "CREATE TABLE encoded (a Int64) ENGINE = Memory")
	data := []byte(strings.Repeat("123456\n", 300_000))
	pack := func(w io.WriteCloser, buf *bytes.Buffer) []byte {
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	var g, z, l, blocks bytes.Buffer
	zw, _ := zstd.NewWriter(&z)
	cw := compress.NewWriter(0, compress.LZ4)
	for _, part := range [][]byte{data[:1_000_000], data[1_000_000:]} {
		if err := cw.Compress(part); err != nil {
			t.Fatal(err)
		}
		blocks.Write(cw.Data)
	}
	bodies := map[string][]byte{"gzip": pack(gzip.NewWriter(&g), &g), "zstd": pack(zw, &z), "lz4": pack(lz4.NewWriter(&l), &l), "": blocks.Bytes()}
	for encoding, body := range bodies {
		params := q("query", "INSERT INTO encoded FORMAT TSV")
		if encoding == "" {
			params.Set("decompress", "1")
		}
		set := func(r *http.Request) { r.Header.Set("Content-Encoding", encoding) }
		sql(t, s, "TRUNCATE TABLE encoded")
		if a := call(t, s, "POST", params, bytes.NewReader(body), set); a.status != 200 {
			t.Errorf("%q: %s", encoding, a.body)
		}
		// The same, cut: nothing lands although HTTP itself is whole (I1).
		for _, cut := range []int{1, 4, len(body) / 2} {
			if a := call(t, s, "POST", params, bytes.NewReader(body[:len(body)-cut]), set); a.status != 400 {
				t.Errorf("%q less %d: %d %s", encoding, cut, a.status, a.body)
			}
		}
		if got := sql(t, s, "SELECT count(), sum(a) = 300000 * 123456 FROM encoded"); got != "300000\t1" {
			t.Errorf("%q: %s", encoding, got)
		}
	}
	for _, encoding := range []string{"gzip", "deflate", "br", "lz4", "zstd"} {
		a := call(t, s, "POST", nil, strings.NewReader("SELECT number FROM numbers(1000000)"), func(r *http.Request) {
			r.Header.Set("Accept-Encoding", encoding)
		})
		r, done, err := decodeBody(strings.NewReader(a.body), a.header.Get("Content-Encoding"), false)
		if err != nil || a.header.Get("Content-Encoding") != encoding {
			t.Fatalf("%s: %v %v", encoding, err, a.header)
		}
		b, err := io.ReadAll(r)
		done()
		if err != nil || !bytes.HasSuffix(b, []byte("\n999999\n")) || len(b) != 6_888_890 {
			t.Errorf("%s: %d bytes, %v", encoding, len(b), err)
		}
	}
	if a := call(t, s, "POST", nil, strings.NewReader("x"), func(r *http.Request) { r.Header.Set("Content-Encoding", "rot13") }); a.status != 400 {
		t.Errorf("unknown encoding: %d", a.status)
	}
}

// TestBrokenBodyLandsNothing: the client dies in the middle of a chunked and of a sized body (I1).
func TestBrokenBodyLandsNothing(t *testing.T) {
	s := server(t)
	sql(t, s, "CREATE TABLE broken (a Int64) ENGINE = MergeTree ORDER BY a")
	rows := strings.Repeat("1\n", 3_000_000) // two blocks of the engine and more
	for _, framing := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(rows)+2, rows),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(rows), rows),
	} {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(c, "POST /?%s HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: default\r\nX-ClickHouse-Key: %s\r\n%s",
			q("query", "INSERT INTO broken FORMAT TSV").Encode(), s.Password(), framing)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(c)
		_ = c.Close()
		if bytes.Contains(b, []byte("HTTP/1.1 200")) {
			t.Errorf("a cut body was accepted: %s", b)
		}
	}
	if got := sql(t, s, "SELECT count() FROM broken"); got != "0" {
		t.Errorf("%s rows landed", got)
	}
}

func TestSessions(t *testing.T) {
	s := server(t)
	f := func(params url.Values, statement string, wantStatus int, want string) {
		t.Helper()
		a := call(t, s, "POST", params, strings.NewReader(statement))
		if a.status != wantStatus || !strings.Contains(a.body, want) {
			t.Errorf("%v %s: %d %q, want %d %q", params, statement, a.status, a.body, wantStatus, want)
		}
	}
	id := q("session_id", "s1")
	f(q("session_id", "s1", "session_check", "1"), "SELECT 1", 500, "SESSION_NOT_FOUND")
	f(id, "CREATE TEMPORARY TABLE tmp (a Int64)", 200, "")
	f(id, "INSERT INTO tmp VALUES (5)", 200, "")
	f(id, "SET max_block_size = 123", 200, "")
	f(q("session_id", "s1", "max_block_size", "99", "database", "system"), "SELECT getSetting('max_block_size'), currentDatabase()", 200, "99\tsystem")
	f(id, "SELECT a, getSetting('max_block_size'), currentDatabase() FROM tmp", 200, "5\t123\tdefault\n")
	f(nil, "SELECT * FROM tmp", 404, "UNKNOWN_TABLE")
	f(q("session_id", "s1", "close_session", "1"), "SELECT 1", 200, "1")
	f(q("session_id", "s1", "session_timeout", "1"), "SELECT * FROM tmp", 404, "UNKNOWN_TABLE")
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.sessions) == 0 })

	var wg sync.WaitGroup
	statuses := make([]string, 2)
	for i := range statuses {
		wg.Go(func() {
			statuses[i] = call(t, s, "POST", q("session_id", "s2"), strings.NewReader("SELECT sleep(0.5)")).body
		})
	}
	wg.Wait()
	if got := strings.Join(statuses, ""); strings.Count(got, "SESSION_IS_LOCKED") != 1 || strings.Count(got, "0\n") != 1 {
		t.Errorf("two at once: %q", statuses)
	}
}

func TestSameQueryIDTwice(t *testing.T) {
	s := server(t)
	var wg sync.WaitGroup
	bodies := make([]string, 2)
	for i := range bodies {
		wg.Go(func() {
			bodies[i] = call(t, s, "POST", q("query_id", "twin"), strings.NewReader("SELECT sleep(0.5)")).body
		})
	}
	wg.Wait()
	if got := strings.Join(bodies, ""); strings.Count(got, "already running") != 1 || strings.Count(got, "0\n") != 1 {
		t.Errorf("%q", bodies)
	}
}

func TestExceptionNamesAreTheEngines(t *testing.T) {
	s := server(t)
	for _, code := range []int{
		codeBadArguments, codeNotImplemented, codeLogicalError, codeSyntaxError, codeUnknownSetting, codeReadonly,
		codeQueryTooLarge, codeOutfileNotAllowed, codeCannotReadAll, codeRequiredPassword, codeSessionNotFound, codeSessionLocked,
		codeQueryCancelled, codeQueryIDRunning, codeAuthFailed, codeUnknownCompression,
	} {
		if got := sql(t, s, fmt.Sprintf("SELECT errorCodeToName(%d)", code)); got != exceptionName(code) {
			t.Errorf("%d is %q, not %q", code, got, exceptionName(code))
		}
	}
	if want := exceptionName(httpTooLarge(t, s)); want != "QUERY_IS_TOO_LARGE" {
		t.Error(want)
	}
}

// httpTooLarge sends a statement beyond the limit and gives the code of the answer.
func httpTooLarge(t *testing.T, s *Server) int {
	a := call(t, s, "POST", nil, io.LimitReader(zeros{}, maxStatementBytes+10))
	if a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", a.status, a.body)
	}
	var code int
	_, _ = fmt.Sscanf(a.body, "Code: %d.", &code)
	return code
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestMixedLoad: many clients at once, more than there are slots; counts are exact.
func TestMixedLoad(t *testing.T) {
	s := server(t)
	sql(t, s, "CREATE TABLE mixed (a Int64) ENGINE = MergeTree ORDER BY a")
	const writers, rounds, rowsEach = 6, 10, 1000
	body := strings.Repeat("1\n", rowsEach)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range rounds {
				if a := call(t, s, "POST", q("query", "INSERT INTO mixed FORMAT TSV"), strings.NewReader(body)); a.status != 200 {
					t.Error(a.body)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				a := call(t, s, "POST", q("max_block_size", fmt.Sprint(100+i)), strings.NewReader("SELECT getSetting('max_block_size'), sum(a) = count() FROM mixed"))
				if a.body != fmt.Sprintf("%d\t1\n", 100+i) {
					t.Errorf("%q", a.body)
				}
			}
		})
		wg.Go(func() { // clients that go away
			for range rounds {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.Addr()+"/", strings.NewReader("SELECT sum(sleepEachRow(0.01)) FROM numbers(200) SETTINGS max_block_size = 1"))
				req.SetBasicAuth(UserDefault, s.Password())
				if res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req); err == nil {
					_ = res.Body.Close()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if got := sql(t, s, "SELECT count() FROM mixed"); got != fmt.Sprint(writers*rounds*rowsEach) {
		t.Errorf("%s rows", got)
	}
}
