package embedded

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// conn is one engine connection: a session of its own with settings, current
// database and temporary tables. One statement at a time; not for concurrent use.
type conn struct {
	lib    *library
	handle unsafe.Pointer
}

// params are the values of {name:Type} placeholders.
type params struct {
	names, values []string
}

// stats is what the engine says about a finished statement.
type stats struct {
	rowsRead, bytesRead       uint64
	rowsWritten, bytesWritten uint64
}

// newConn opens a connection with the command line args, of which
// "--setting=value" hold for this connection only. The engine gives no
// reason when it refuses (it prints one); ok is then false.
func newConn(lib *library, args []string) (c *conn, ok bool) {
	argv := newCStrings(append([]string{"clickhouse"}, args...))
	h := lib.connect(int32(argv.count()), argv.array())
	argv.keepAlive()
	if h == nil {
		return nil, false
	}
	return &conn{lib: lib, handle: h}, true
}

func (c *conn) ptr() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

func (c *conn) close() {
	if c.handle != nil {
		c.lib.closeConn(c.handle)
		c.handle = nil
	}
}

// classify asks the engine's own parser what sql is. ok is false when it does not
// parse or is not exactly one statement.
func (c *conn) classify(sql string) (class uint32, ok bool) {
	var a analysis
	a.structSize = uint32(unsafe.Sizeof(a))
	rc := c.lib.classify(c.ptr(), bytesOf(sql), sizeOf(sql), nil, 0, &a)
	runtime.KeepAlive(sql)
	return a.class, rc == 0 && a.statementCount == 1
}

// take reads error, figures and bytes of a result and frees it. emit sees the
// bytes before they are freed and must not keep them.
func (c *conn) take(r unsafe.Pointer, st *stats, emit func([]byte) error) error {
	if r == nil {
		return newException(codeLogicalError, "the engine returned no result")
	}
	defer c.lib.destroyResult(r)
	if msg := goString(c.lib.resultError(r)); msg != "" {
		return parseException(msg)
	}
	st.rowsRead = max(st.rowsRead, c.lib.rowsRead(r))
	st.bytesRead = max(st.bytesRead, c.lib.bytesRead(r))
	st.rowsWritten = max(st.rowsWritten, c.lib.rowsWritten(r))
	st.bytesWritten = max(st.bytesWritten, c.lib.bytesWritten(r))
	if n := c.lib.resultLength(r); n > 0 && emit != nil {
		return emit(view(c.lib.resultBuffer(r), n))
	}
	return nil
}

// exec runs any statement and holds its whole output in the engine's memory.
func (c *conn) exec(sql, format string, p params, emit func([]byte) error) (st stats, err error) {
	names, values := newCStrings(p.names), newCStrings(p.values)
	r := c.lib.query(c.ptr(), bytesOf(sql), sizeOf(sql), bytesOf(format), sizeOf(format),
		names.array(), names.sizes(), values.array(), values.sizes(), uintptr(names.count()))
	names.keepAlive()
	values.keepAlive()
	runtime.KeepAlive(sql)
	return st, c.take(r, &st, emit)
}

// value runs a statement of ours that gives one line and returns it.
func (c *conn) value(sql string) (string, error) {
	var out strings.Builder
	_, err := c.exec(sql, "TSVRaw", params{}, func(b []byte) error {
		out.Write(b)
		return nil
	})
	return strings.TrimSuffix(out.String(), "\n"), err
}

// stream runs a SELECT and emits its output block by block. An error of emit
// stops the query.
func (c *conn) stream(sql, format string, p params, st *stats, emit func([]byte) error) error {
	names, values := newCStrings(p.names), newCStrings(p.values)
	s := c.lib.streamQuery(c.ptr(), bytesOf(sql), sizeOf(sql), bytesOf(format), sizeOf(format),
		names.array(), names.sizes(), values.array(), values.sizes(), uintptr(names.count()))
	names.keepAlive()
	values.keepAlive()
	runtime.KeepAlive(sql)
	if s == nil {
		return newException(codeLogicalError, "the engine returned no stream")
	}
	defer c.lib.destroyResult(s)
	if msg := goString(c.lib.resultError(s)); msg != "" {
		return parseException(msg)
	}
	for {
		n := 0
		err := c.take(c.lib.streamFetch(c.ptr(), s), st, func(b []byte) error {
			n = len(b)
			return emit(b)
		})
		if err != nil {
			c.lib.streamCancel(c.ptr(), s)
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// insert streams the chunks of body into the engine as one INSERT. sql is without
// FORMAT and data. The insert is committed only when each ended without error;
// else it is cancelled.
func (c *conn) insert(sql, format string, p params, each func(func([]byte) error) error) (st stats, err error) {
	names, values := newCStrings(p.names), newCStrings(p.values)
	s := c.lib.insert(c.ptr(), bytesOf(sql), sizeOf(sql), bytesOf(format), sizeOf(format),
		names.array(), names.sizes(), values.array(), values.sizes(), uintptr(names.count()))
	names.keepAlive()
	values.keepAlive()
	runtime.KeepAlive(sql)
	if s == nil {
		return st, newException(codeLogicalError, "the engine returned no insert stream")
	}
	defer c.lib.insertDestroy(s)
	if msg := goString(c.lib.insertError(s)); msg != "" {
		return st, parseException(msg)
	}
	failed := false
	err = each(func(b []byte) error {
		if len(b) == 0 {
			return nil
		}
		rc := c.lib.insertAppend(s, unsafe.SliceData(b), uintptr(len(b)))
		runtime.KeepAlive(b)
		if rc != 0 {
			failed = true
			return newException(codeLogicalError, "the engine stopped taking the insert")
		}
		return nil
	})
	if err != nil && !failed {
		c.lib.insertCancel(s)
		return st, err
	}
	// After a failed append, done gives the engine's reason and commits nothing.
	if doneErr := c.take(c.lib.insertDone(s), &st, nil); doneErr != nil {
		return st, doneErr
	}
	return st, err
}

// quote makes a ClickHouse string literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteName makes a ClickHouse identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}

// setting is one name and value of a SET.
type setting struct{ name, value string }

// apply runs one SET for all settings; it is the slow path that gives the
// engine's reason for a value it refuses.
func (c *conn) apply(ss []setting) error {
	if len(ss) == 0 {
		return nil
	}
	parts := make([]string, 0, len(ss))
	for _, s := range ss {
		parts = append(parts, fmt.Sprintf("%s = %s", s.name, quote(s.value)))
	}
	slices.Sort(parts)
	_, err := c.exec("SET "+strings.Join(parts, ", "), "Null", params{}, nil)
	return err
}
