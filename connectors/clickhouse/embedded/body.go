package embedded

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// timedBody is a request body whose every read has a deadline.
type timedBody struct {
	r   io.Reader
	ctl *http.ResponseController
}

func (t *timedBody) Read(p []byte) (int, error) {
	if err := t.ctl.SetReadDeadline(time.Now().Add(receiveTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("embedded: body: %w", err)
	}
	return t.r.Read(p)
}

// finish reads what the decoders left, so that a body cut after its last
// decoded byte is seen too (I1), and takes the deadline away: while the statement
// runs, net/http waits in a read for the client's going away.
func (t *timedBody) finish() error {
	if _, err := io.Copy(io.Discard, t); err != nil {
		return err
	}
	if err := t.ctl.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("embedded: body: %w", err)
	}
	return nil
}

// readStatement finds the statement in the URL, the body or both, and for an insert
// takes in the whole body (I1).
func (s *Server) readStatement(w http.ResponseWriter, r *http.Request, j *job) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return newException(codeNotImplemented, "External tables (multipart bodies) are not implemented here")
	}
	raw := &timedBody{r: r.Body, ctl: http.NewResponseController(w)}
	err := s.readDecoded(raw, r.Header.Get("Content-Encoding"), j)
	if err == nil {
		err = raw.finish()
	}
	var ex *exception
	if err != nil && !errors.As(err, &ex) {
		return newException(codeCannotReadAll, "Cannot read the request body, nothing was done: %v", err)
	}
	return err
}

func (s *Server) readDecoded(raw io.Reader, encoding string, j *job) error {
	body, closeBody, err := decodeBody(raw, encoding, j.req.decompress)
	if err != nil {
		return err
	}
	defer closeBody()
	j.text = j.req.query
	whole := false // the text is not only a head
	if j.text != "" {
		j.st, err = parseStatement(j.text)
		whole = true
	} else {
		whole, err = readHead(body, j)
	}
	if err != nil {
		return err
	}
	if j.st.kind == kindInsert {
		return s.readData(body, j)
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatementBytes+1))
	if err != nil {
		return err
	}
	if len(j.text)+len(rest) > maxStatementBytes {
		return newException(codeQueryTooLarge, "The statement is larger than %d bytes", maxStatementBytes)
	}
	if whole && len(rest) == 0 {
		return nil
	}
	if j.req.query != "" { // an end of line between URL and body, as on a server
		j.text += "\n"
	}
	j.text += string(rest)
	if j.st, err = parseStatement(j.text); err != nil {
		return err
	}
	if j.st.kind == kindInsert { // only the two parts together have shown it
		return s.readData(strings.NewReader(""), j)
	}
	return nil
}

// readHead takes the first part of a body that holds the statement. whole is
// false when the rest may belong to the SQL.
func readHead(body io.Reader, j *job) (whole bool, err error) {
	head := make([]byte, statementHeadBytes)
	n := 0
	for n < len(head) && err == nil {
		var m int
		m, err = body.Read(head[n:])
		n += m
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	j.text = string(head[:n])
	st, parseErr := parseStatement(j.text)
	if n < len(head) {
		j.st = st
		return true, parseErr
	}
	if parseErr == nil && st.kind == kindInsert && st.dataAt < n {
		j.st = st
		return true, nil
	}
	return false, nil // judged again when all is there
}

// readData fills the job's spool with the inline data and the rest of the body.
func (s *Server) readData(body io.Reader, j *job) error {
	inline := j.text[j.st.dataAt:]
	if j.st.format == "Values" && len(j.text) < statementHeadBytes {
		// The engine ends at a semicolon and keeps silent about what follows.
		if err := oneStatement(inline); err != nil {
			return err
		}
	}
	if strings.Trim(inline, " \t\r\n;") != "" || j.req.query == "" {
		if _, err := io.WriteString(&j.body, inline); err != nil {
			return err
		}
	}
	return j.body.fill(body, s.cfg.MaxBodyBytes)
}
