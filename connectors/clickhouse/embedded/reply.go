package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sendTimeout bounds one write to a client that does not read (the server's
// http_send_timeout), so that it cannot hold a query slot for ever.
const sendTimeout = 30 * time.Second

// reply writes one answer. It holds the first bytes back, so that an error
// within them still gets its HTTP status; all of them with holdAll.
// Bytes go through blocks (compress=1), encoder (Accept-Encoding), held.
type reply struct {
	w       http.ResponseWriter
	ctl     *http.ResponseController
	held    spool
	holdMax int64 // commit beyond this
	tag     string
	sent    bool

	encoding string
	encoder  io.WriteCloser
	blocks   *blockWriter
	out      io.Writer // top of the stack
}

// newReply starts an answer in the encodings that the request asks for.
func (s *Server) newReply(w http.ResponseWriter, r *http.Request, req *request) (*reply, error) {
	rep := &reply{
		w: w, ctl: http.NewResponseController(w), holdMax: responseHoldBytes,
		held: spool{chunks: &s.chunks, dir: s.spoolDir, inMemory: s.cfg.InsertMemoryBytes},
		tag:  randomTag(),
	}
	if req.waitEnd {
		rep.holdMax = 1<<63 - 1
	}
	rep.out = (*heldWriter)(rep)
	if req.httpCompress {
		rep.encoding = acceptedEncoding(r.Header)
	}
	if rep.encoding != "" {
		enc, err := newEncoder(rep.out, rep.encoding)
		if err != nil {
			return nil, err
		}
		rep.encoder, rep.out = enc, enc
	}
	if req.compress {
		b, err := newBlockWriter(rep.out, req.blockMethod)
		if err != nil {
			return nil, err
		}
		rep.blocks, rep.out = b, b
	}
	return rep, nil
}

// write takes bytes of the result; it does not keep p.
func (rep *reply) write(p []byte) error {
	_, err := rep.out.Write(p)
	return err
}

// heldWriter is the bottom of the stack.
type heldWriter reply

func (h *heldWriter) Write(p []byte) (int, error) {
	rep := (*reply)(h)
	if !rep.sent {
		if rep.held.size+int64(len(p)) <= rep.holdMax {
			return rep.held.Write(p)
		}
		if err := rep.commit(); err != nil {
			return 0, err
		}
	}
	return rep.send(p)
}

func (rep *reply) send(p []byte) (int, error) {
	if err := rep.ctl.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("embedded: answer: %w", err)
	}
	n, err := rep.w.Write(p)
	if err != nil {
		return n, fmt.Errorf("embedded: answer: %w", err)
	}
	return n, nil
}

// commit sends the status and what is held.
func (rep *reply) commit() error {
	if rep.sent {
		return nil
	}
	rep.sent = true
	h := rep.w.Header()
	h.Set("X-ClickHouse-Exception-Tag", rep.tag)
	if rep.encoding != "" {
		h.Set("Content-Encoding", rep.encoding)
	}
	rep.w.WriteHeader(http.StatusOK)
	err := rep.held.each(func(b []byte) error {
		_, err := rep.send(b)
		return err
	})
	rep.held.close()
	return err
}

// closeStack writes what the encoders still keep.
func (rep *reply) closeStack() error {
	if rep.blocks != nil {
		if err := rep.blocks.Close(); err != nil {
			return err
		}
	}
	if rep.encoder != nil && (rep.sent || rep.held.size > 0 || rep.blocks == nil) {
		return rep.encoder.Close()
	}
	return nil
}

// finish ends a good answer; summary becomes X-ClickHouse-Summary when there is
// still time for headers.
func (rep *reply) finish(summary string, empty bool) error {
	if !rep.sent {
		rep.w.Header().Set("X-ClickHouse-Summary", summary)
	}
	if empty && !rep.sent { // no bytes at all, not the frame of an encoder: the driver asks for length 0
		rep.encoding = ""
		rep.held.close()
	} else if err := rep.closeStack(); err != nil {
		return err
	}
	if !rep.sent {
		rep.w.Header().Set("Content-Length", strconv.FormatInt(rep.held.size, 10))
	}
	return rep.commit()
}

// fail ends an answer with an error: status and text when nothing has been sent, else
// the server's exception block at the end of the data.
func (rep *reply) fail(ex *exception, version string) error {
	text := exceptionText(ex, version)
	if !rep.sent {
		rep.held.close()
		writeException(rep.w, ex, version)
		return nil
	}
	block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", rep.tag, text, len(text), rep.tag)
	if rep.blocks != nil {
		if err := rep.blocks.Close(); err != nil {
			return err
		}
	}
	var w io.Writer = (*heldWriter)(rep)
	if rep.encoder != nil {
		w = rep.encoder
	}
	if _, err := io.WriteString(w, block); err != nil {
		return fmt.Errorf("embedded: answer: %w", err)
	}
	if rep.encoder != nil {
		return rep.encoder.Close()
	}
	return nil
}

// abort breaks the connection: a cut answer must not look whole.
func (rep *reply) abort() {
	if c, _, err := rep.ctl.Hijack(); err == nil {
		_ = c.Close() // whatever it says, the connection is gone
	}
}

// writeException answers with status, code and text, never compressed.
func writeException(w http.ResponseWriter, ex *exception, version string) {
	h := w.Header()
	h.Del("Content-Encoding")
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(ex.code))
	if ex.code == codeRequiredPassword {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	text := exceptionText(ex, version)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(httpStatus(ex.code))
	_, _ = io.WriteString(w, text) // a client that has gone needs no text
}

// exceptionText is the server's line: message, version, end of line.
func exceptionText(ex *exception, version string) string {
	return fmt.Sprintf("%s (version %s)\n", ex.message, version)
}

// summaryJSON is X-ClickHouse-Summary; numbers are strings there.
func summaryJSON(st stats, elapsed time.Duration) string {
	return fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d",`+
		`"total_rows_to_read":"0","result_rows":"0","result_bytes":"0","elapsed_ns":"%d"}`,
		st.rowsRead, st.bytesRead, st.rowsWritten, st.bytesWritten, elapsed.Nanoseconds())
}

// contentType is the media type of an output format.
func contentType(format string) string {
	f := strings.ToLower(format)
	switch {
	case strings.HasPrefix(f, "json") && !strings.Contains(f, "eachrow"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(f, "json"), f == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(f, "csv"):
		return "text/csv; charset=UTF-8; header=" + map[bool]string{true: "present", false: "absent"}[strings.Contains(f, "withnames")]
	case strings.HasPrefix(f, "tabseparated"), strings.HasPrefix(f, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case f == "native", strings.HasPrefix(f, "rowbinary"), f == "parquet", f == "arrow", f == "arrowstream", f == "orc", f == "avro":
		return "application/octet-stream"
	default:
		return "text/plain; charset=UTF-8"
	}
}

// randomTag makes the 16 letters by which a client tells an exception block from data.
func randomTag() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b[:])
}

// randomID makes a UUID, version 4.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
