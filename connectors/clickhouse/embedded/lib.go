package embedded

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library holds the entry points of libchdb that this package uses. The names are
// those of chdb.h 26.7. Every call may block for as long as the engine works and
// keeps an OS thread meanwhile.
//
// Bytes handed in are copied or used up before the call returns; bytes that come
// out belong to the result and die with destroyResult.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv **byte) unsafe.Pointer
	closeConn         func(handle unsafe.Pointer)
	classify          func(conn unsafe.Pointer, sql *byte, n uintptr, db *byte, dn uintptr, out *analysis) int32

	query func(conn unsafe.Pointer, q *byte, n uintptr, format *byte, fn uintptr,
		names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	streamQuery func(conn unsafe.Pointer, q *byte, n uintptr, format *byte, fn uintptr,
		names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	streamFetch  func(conn, stream unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, stream unsafe.Pointer)

	insert func(conn unsafe.Pointer, q *byte, n uintptr, format *byte, fn uintptr,
		names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) unsafe.Pointer
	insertAppend  func(stream unsafe.Pointer, data *byte, n uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) *byte
	insertDestroy func(stream unsafe.Pointer)

	resultBuffer  func(r unsafe.Pointer) *byte
	resultLength  func(r unsafe.Pointer) uintptr
	resultError   func(r unsafe.Pointer) *byte
	rowsRead      func(r unsafe.Pointer) uint64
	bytesRead     func(r unsafe.Pointer) uint64
	rowsWritten   func(r unsafe.Pointer) uint64
	bytesWritten  func(r unsafe.Pointer) uint64
	destroyResult func(r unsafe.Pointer)
}

// analysis mirrors chdb_query_analysis_v1.
type analysis struct {
	structSize     uint32
	statementCount uint32
	_              uint32 // flags, not used
	class          uint32
}

// classReadOnly is CHDB_QUERY_READ_ONLY: leaves no trace.
const classReadOnly = 0

// loadLibrary opens the library and binds its symbols. It turns the engine's
// signal handlers off: with them, the first nil dereference in Go would
// kill the process instead of being a panic.
func loadLibrary(path string) (lib *library, err error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("embedded: load library %s: %w", path, err)
	}
	lib = &library{}
	for _, s := range []struct {
		name string
		fn   any
	}{
		{"chdb_set_signal_handlers_enabled", &lib.setSignalHandlers},
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.closeConn},
		{"chdb_classify_query_n", &lib.classify},
		{"chdb_query_with_params_n", &lib.query},
		{"chdb_stream_query_with_params_n", &lib.streamQuery},
		{"chdb_stream_fetch_result", &lib.streamFetch},
		{"chdb_stream_cancel_query", &lib.streamCancel},
		{"chdb_stream_insert_with_params_n", &lib.insert},
		{"chdb_stream_append", &lib.insertAppend},
		{"chdb_stream_done", &lib.insertDone},
		{"chdb_stream_cancel_insert", &lib.insertCancel},
		{"chdb_stream_insert_error", &lib.insertError},
		{"chdb_destroy_insert_stream", &lib.insertDestroy},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_result_error", &lib.resultError},
		{"chdb_result_storage_rows_read", &lib.rowsRead},
		{"chdb_result_storage_bytes_read", &lib.bytesRead},
		{"chdb_result_rows_written", &lib.rowsWritten},
		{"chdb_result_bytes_written", &lib.bytesWritten},
		{"chdb_destroy_query_result", &lib.destroyResult},
	} {
		addr, err := purego.Dlsym(h, s.name)
		if err != nil {
			return nil, fmt.Errorf("embedded: library %s has no %s, is it older than 26.7?: %w", path, s.name, err)
		}
		purego.RegisterFunc(s.fn, addr)
	}
	lib.setSignalHandlers(0)
	return lib, nil
}

// goString copies a NUL-terminated C string; nil gives "".
func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// cStrings is an array of C strings in Go memory. It must be kept alive by its
// holder until the call that reads it has returned.
type cStrings struct {
	bytes [][]byte
	ptrs  []*byte
	lens  []uintptr
}

// newCStrings copies the strings and ends each with NUL.
func newCStrings(ss []string) *cStrings {
	c := &cStrings{}
	for _, s := range ss {
		b := append([]byte(s), 0)
		c.bytes = append(c.bytes, b)
		c.ptrs = append(c.ptrs, &b[0])
		c.lens = append(c.lens, uintptr(len(s)))
	}
	return c
}

func (c *cStrings) array() **byte    { return unsafe.SliceData(c.ptrs) }
func (c *cStrings) sizes() *uintptr  { return unsafe.SliceData(c.lens) }
func (c *cStrings) count() int       { return len(c.ptrs) }
func (c *cStrings) keepAlive()       { runtime.KeepAlive(c) }
func bytesOf(s string) *byte         { return unsafe.StringData(s) }
func sizeOf(s string) uintptr        { return uintptr(len(s)) }
func view(p *byte, n uintptr) []byte { return unsafe.Slice(p, n) }
