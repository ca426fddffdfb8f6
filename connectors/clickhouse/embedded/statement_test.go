package embedded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStatement(t *testing.T) {
	f := func(text string, kind stmtKind, sql, format, data string) {
		t.Helper()
		st, err := parseStatement(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			return
		}
		got := []any{st.kind, st.sql, st.format}
		want := []any{kind, sql, format}
		if kind == kindInsert {
			got, want = append(got, text[st.dataAt:]), append(want, data)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	f("SELECT 1", kindSelect, "SELECT 1", "", "")
	f(" /* a /* b */ ; */ select 1 ; -- x", kindSelect, " /* a /* b */ ; */ select 1 ", "", "")
	f("SELECT ';' FORMAT CSV", kindSelect, "SELECT ';' FORMAT CSV", "CSV", "")
	f("SELECT format(JSONEachRow, 'x') AS format", kindSelect, "SELECT format(JSONEachRow, 'x') AS format", "", "")
	f("SELECT $$;INTO OUTFILE$$", kindSelect, "SELECT $$;INTO OUTFILE$$", "", "")
	f("SHOW TABLES;", kindOther, "SHOW TABLES", "", "")
	f("INSERT INTO t VALUES (1)", kindInsert, "INSERT INTO t ", "Values", " (1)")
	f("INSERT INTO a.`b c` (x, `FORMAT`) FORMAT JSONEachRow {}", kindInsert, "INSERT INTO a.`b c` (x, `FORMAT`) ", "JSONEachRow", "{}")
	f("INSERT INTO t FORMAT TSV\r\n\t1\n", kindInsert, "INSERT INTO t ", "TSV", "\t1\n")
	f("INSERT INTO t FORMAT Native ; ", kindInsert, "INSERT INTO t ", "Native", "")
	f("insert into format format values (1)", kindInsert, "insert into format ", "Values", "(1)")
	f("INSERT INTO TABLE FUNCTION file('x', 'CSV') VALUES (1)", kindInsert, "INSERT INTO TABLE FUNCTION file('x', 'CSV') ", "Values", " (1)")
	f("INSERT INTO t SETTINGS a = 1, b = 'VALUES' FORMAT CSV 1", kindInsert, "INSERT INTO t SETTINGS a = 1, b = 'VALUES' ", "CSV", "1")
	f("INSERT INTO t", kindInsert, "INSERT INTO t", "", "")
	f("INSERT INTO t (a);", kindInsert, "INSERT INTO t (a)", "", ";")
	f("INSERT INTO t SELECT 1 FORMAT CSV", kindOther, "INSERT INTO t SELECT 1 FORMAT CSV", "CSV", "")
	f("INSERT INTO t (a) (SELECT 1)", kindOther, "INSERT INTO t (a) (SELECT 1)", "", "")
	f("INSERT INTO outfile VALUES (1)", kindInsert, "INSERT INTO outfile ", "Values", " (1)")
	f("SELECT * FROM infile", kindSelect, "SELECT * FROM infile", "", "")

	bad := func(text string, code int) {
		t.Helper()
		_, err := parseStatement(text)
		var ex *exception
		if !errors.As(err, &ex) || ex.code != code {
			t.Errorf("%q: %v, want code %d", text, err, code)
		}
	}
	bad("", codeSyntaxError)
	bad("SELECT 1; DROP TABLE t", codeSyntaxError)
	bad("SELECT 1; 'x", codeSyntaxError)
	bad("SELECT 1 into\n--x\noutfile 'f'", codeOutfileNotAllowed)
	bad("INSERT INTO t SELECT 1 INTO OUTFILE 'f'", codeOutfileNotAllowed)
	bad("INSERT INTO t FROM INFILE 'f' FORMAT CSV", codeOutfileNotAllowed)
	bad("INSERT INTO t FROM INFILE $x$f$x$", codeOutfileNotAllowed)
	bad("SYSTEM SHUTDOWN", codeNotImplemented)
	bad("system/**/kill", codeNotImplemented)
}

func TestParseRequest(t *testing.T) {
	known := map[string]bool{"max_threads": true, "readonly": true}
	r, err := parseRequest(url.Values{"query": {"SELECT 1"}, "max_threads": {"1", "2"}, "param_x": {"v"}, "compress": {"1"}, "quota_key": {"k"}}, known)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.settings) != 1 || r.settings[0] != (setting{"max_threads", "2"}) || r.params.names[0] != "x" || r.params.values[0] != "v" || !r.compress {
		t.Errorf("%+v", r)
	}
	if err := r.readerMay(); err == nil {
		t.Error("the reader may choose max_threads")
	}
	for _, bad := range []url.Values{
		{"nothing": {"1"}},
		{"max_threads": {"1\x00"}},
		{"param_x": {"\x00"}},
		{"session_timeout": {"0"}},
		{"session_timeout": {"9999"}},
		{"query_id": {strings.Repeat("x", 300)}},
	} {
		if _, err := parseRequest(bad, known); err == nil {
			t.Errorf("%v went through", bad)
		}
	}
}

func TestParseException(t *testing.T) {
	f := func(text string, code int, name string) {
		t.Helper()
		ex := parseException(text)
		if ex.code != code || ex.name != name {
			t.Errorf("%q: %d %q", text, ex.code, ex.name)
		}
	}
	f("Code: 60. DB::Exception: Table x (A) does not exist. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE")
	f("Code: 27. DB::Exception: text (something)", 27, "")
	f("Code: x", codeLogicalError, "LOGICAL_ERROR")
	f("no code", codeLogicalError, "LOGICAL_ERROR")
}

// TestSpool: memory, the border, the file, by Write and by fill.
func TestSpool(t *testing.T) {
	c := &chunks{}
	for _, size := range []int{0, 1, spoolChunkBytes - 1, spoolChunkBytes, 2 * spoolChunkBytes, 2*spoolChunkBytes + 1, 5 * spoolChunkBytes} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		for _, step := range []int{size, 100_003} {
			sp := spool{chunks: c, dir: t.TempDir(), inMemory: 2 * spoolChunkBytes}
			var err error
			if step == size {
				err = sp.fill(bytes.NewReader(want), int64(size))
			} else {
				for rest := want; len(rest) > 0 && err == nil; {
					n := min(step, len(rest))
					_, err = sp.Write(rest[:n])
					rest = rest[n:]
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // it can be read again
				var got []byte
				if err := sp.each(func(b []byte) error { got = append(got, b...); return nil }); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) || sp.size != int64(size) || (sp.file != nil) != (size > 2*spoolChunkBytes) {
					t.Errorf("size %d step %d: %d bytes back, size %d, file %v", size, step, len(got), sp.size, sp.file != nil)
				}
			}
			sp.close()
		}
		sp := spool{chunks: c, dir: t.TempDir(), inMemory: 2 * spoolChunkBytes}
		if err := sp.fill(bytes.NewReader(want), int64(size)-1); size > 0 && err == nil {
			t.Errorf("size %d: more than allowed went through", size)
		}
		sp.close()
	}
}

func TestAcceptedEncoding(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		if got := acceptedEncoding(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	f("", "")
	f("identity", "")
	f("gzip;q=0, zstd;q=0.5", "zstd")
	f("snappy, br, gzip", "br")
	f("GZIP", "gzip")
}

func TestStickyReader(t *testing.T) {
	var buf bytes.Buffer
	w, err := newBlockWriter(&buf, "LZ4")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	for cut := range whole {
		r, _, err := decodeBody(bytes.NewReader(whole[:cut]), "", true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if (err == nil) != (cut == 0) || len(b) != 0 {
			t.Errorf("cut at %d: %q %v", cut, b, err)
		}
		for range 3 {
			if n, _ := r.Read(make([]byte, 10)); n != 0 {
				t.Fatalf("cut at %d: stale bytes after the end", cut)
			}
		}
	}
}

func TestHelloText(t *testing.T) {
	if !isHello(helloQuery, "54460") || !isHello(" "+helloQuery+";", "1") || isHello(helloQuery, "") || isHello("SELECT 1", "54460") {
		t.Error("hello is told by text and protocol version")
	}
}

// FuzzStatement: the parser never panics, its parts are parts of the text, and what
// it lets through holds no second statement and no host file by a much simpler look.
func FuzzStatement(f *testing.F) {
	for _, s := range []string{
		"SELECT 1; SELECT 2", "INSERT INTO t FORMAT CSV\n1,2", "INSERT INTO `a`.b (x) VALUES (1);", "/* /* */ */ SELECT $a$ ; $a$",
		"SELECT 1 INTO OUTFILE 'x'", "WITH 1 AS x SELECT x FORMAT Native", "'", "`\\", "$", "--", "(((", "INSERT INTO t (SELECT", "SYSTEM KILL",
		"SELECT * APPLY(file) FROM t", "SELECT \"file\"(x)",
	} {
		f.Add(s)
	}
	tables := map[string]bool{"file": true, "url": true, "numbers": true}
	f.Fuzz(func(t *testing.T, text string) {
		st, err := parseStatement(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, st.sql) {
			t.Fatalf("sql %q is not the head of %q", st.sql, text)
		}
		if st.kind == kindInsert && (st.dataAt < len(st.sql) || st.dataAt > len(text)) {
			t.Fatalf("data at %d of %q", st.dataAt, text)
		}
		again, err := parseStatement(st.sql)
		if err != nil || again.verb != st.verb {
			t.Fatalf("%q parses to %+v, its sql to %+v, %v", text, st, again, err)
		}
		plain := !strings.ContainsAny(text, "'\"`$#") && !strings.Contains(text, "--") && !strings.Contains(text, "/*")
		if plain && st.kind != kindInsert {
			if i := strings.IndexByte(text, ';'); i >= 0 && strings.Trim(text[i:], "; \t\n\r\f\v\x00\u00a0\ufeff") != "" {
				t.Fatalf("a second statement in %q", text)
			}
		}
		if guardReader(st, params{}, tables) == nil && plain {
			if c := strings.Join(strings.Fields(strings.ToLower(st.sql)), ""); strings.Contains(c, ",file(") || strings.Contains(c, "(url(") {
				t.Fatalf("the reader may %q", text)
			}
		}
	})
}

// FuzzRequest: any URL query is refused or gives settings that the engine knows.
func FuzzRequest(f *testing.F) {
	f.Add("query=SELECT+1&max_threads=2&param_x=1&session_id=a")
	f.Add("session_timeout=99999999999999999999&compress=true")
	f.Add("user=a&password=b&database=%00")
	known := map[string]bool{"max_threads": true}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		r, err := parseRequest(v, known)
		if err != nil {
			return
		}
		for _, s := range r.settings {
			if !known[s.name] || strings.ContainsRune(s.value, 0) {
				t.Fatalf("setting %+v", s)
			}
		}
		if len(r.params.names) != len(r.params.values) || r.sessionFor < 0 || r.sessionFor > maxSessionTimeout {
			t.Fatalf("%+v", r)
		}
	})
}

// FuzzDecodeBody: no body, however coded, panics or runs on after its end.
func FuzzDecodeBody(f *testing.F) {
	var g, b bytes.Buffer
	gw := gzip.NewWriter(&g)
	_, _ = gw.Write([]byte("hello"))
	_ = gw.Close()
	bw, _ := newBlockWriter(&b, "ZSTD")
	_, _ = bw.Write([]byte("hello"))
	_ = bw.Close()
	f.Add(g.Bytes(), "gzip", false)
	f.Add(b.Bytes(), "", true)
	f.Add([]byte("x"), "zstd", true)
	f.Fuzz(func(t *testing.T, body []byte, encoding string, blocks bool) {
		r, done, err := decodeBody(bytes.NewReader(body), encoding, blocks)
		if err != nil {
			return
		}
		defer done()
		if _, err := io.Copy(io.Discard, io.LimitReader(r, 1<<24)); err == nil && blocks {
			if n, err := r.Read(make([]byte, 1)); n == 0 && err == nil {
				t.Fatal("no end")
			}
		}
	})
}
