package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// receiveTimeout bounds one read of a body from a client that stalls.
const receiveTimeout = 2 * time.Minute

// killSetting carries the token by which a running statement is found in
// system.processes. The library makes query ids itself and gives no way to set
// one. This setting has no effect outside PromQL, which the interface does not
// offer, and unlike log_comment nobody sets it.
const killSetting = "promql_table"

// handle serves every path: /ping and /replicas_status without password, as on a
// server, / and /query for statements.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if !s.begin() {
		http.Error(w, "The store is stopping", http.StatusServiceUnavailable)
		return
	}
	defer s.inFlight.Done()
	h.Set("X-ClickHouse-Server-Display-Name", s.displayName)
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		_, _ = io.WriteString(w, "Ok.\n") // a client that has gone needs no answer
		return
	case "/", "/query":
	default:
		http.Error(w, "There is no handle "+r.URL.Path+"\n\nUse / or /ping for health checks. Or try POST /?query= with SQL.", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		h.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Method "+r.Method+" is not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("X-ClickHouse-Timezone", s.timezone)
	user, err := s.authenticate(r)
	if err != nil {
		writeException(w, asException(err), s.version)
		return
	}
	req, err := parseRequest(r.URL.Query(), s.settingNames)
	if err == nil && user == UserReader {
		err = req.readerMay()
	}
	if err != nil {
		writeException(w, asException(err), s.version)
		return
	}
	s.serveStatement(w, r, user, req)
}

// begin counts a request in, unless the server is stopping.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.inFlight.Add(1)
	}
	return !s.closing
}

// asException puts any error into the server's form.
func asException(err error) *exception {
	if ex, ok := errors.AsType[*exception](err); ok {
		return ex
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return newException(codeQueryCancelled, "Query was cancelled")
	}
	return newException(codeCannotReadAll, "%v", err)
}

// job is one statement on its way through the server.
type job struct {
	user string
	req  *request
	st   statement
	text string // that st was parsed from
	body spool  // data of an insert
	get  bool
}

// serveStatement reads the body, runs the statement and answers.
func (s *Server) serveStatement(w http.ResponseWriter, r *http.Request, user string, req *request) {
	began := time.Now()
	if req.queryID == "" {
		req.queryID = randomID()
	}
	w.Header().Set("X-ClickHouse-Query-Id", req.queryID)
	rep, err := s.newReply(w, r, req)
	if err != nil {
		writeException(w, asException(err), s.version)
		return
	}
	defer rep.held.close()
	j := &job{user: user, req: req, get: r.Method != http.MethodPost}
	j.body = spool{chunks: &s.chunks, dir: s.spoolDir, inMemory: s.cfg.InsertMemoryBytes}
	defer j.body.close()

	var st stats
	wrote := false
	err = s.readStatement(w, r, j)
	if err == nil {
		err = s.enter(req.queryID)
	}
	if err == nil {
		defer s.leave(req.queryID)
		format := outputFormat(j, r.Header)
		if j.st.kind != kindInsert {
			w.Header().Set("X-ClickHouse-Format", format)
			w.Header().Set("Content-Type", contentType(format))
		}
		st, err = s.run(r.Context(), j, format, r.Header.Get("X-ClickHouse-Format"), func(b []byte) error {
			wrote = true
			return rep.write(b)
		})
	}
	if err != nil {
		err = rep.fail(asException(err), s.version)
	} else {
		err = rep.finish(summaryJSON(st, time.Since(began)), !wrote)
	}
	if err != nil && r.Context().Err() == nil {
		s.cfg.Logger.Debug("answer not sent", slog.String("query_id", req.queryID), slog.Any("error", err))
		rep.abort()
	}
}

func outputFormat(j *job, h http.Header) string {
	for _, f := range []string{j.st.format, j.req.defaultFormat, h.Get("X-ClickHouse-Format")} {
		if f != "" {
			return f
		}
	}
	return "TabSeparated"
}

// enter marks a query id as running, which it may be once.
func (s *Server) enter(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] {
		return newException(codeQueryIDRunning, "Query with id = %s is already running", id)
	}
	s.running[id] = true
	return nil
}

func (s *Server) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// newToken makes the value of killSetting for one connection.
func (s *Server) newToken() string {
	return "wattline-" + strconv.FormatUint(s.lastID.Add(1), 10)
}

// connArgs are the arguments of a request's connection; settings go with them
// because a SET costs a millisecond and this costs nothing.
func (s *Server) connArgs(token, queryID string, readonly int, settings ...setting) []string {
	args := append([]string(nil), s.args...)
	args = append(args, "--log_comment="+queryID)
	for _, st := range settings {
		args = append(args, "--"+st.name+"="+st.value)
	}
	args = append(args, "--"+killSetting+"="+token)
	if readonly > 0 {
		args = append(args, "--readonly="+strconv.Itoa(readonly))
	}
	return args
}

// connect opens a request's own connection (I2).
func (s *Server) connect(req *request, token string, readonly int) (*conn, error) {
	c, ok := newConn(s.lib, s.connArgs(token, req.queryID, readonly, req.settings...))
	if !ok {
		// Likely a value that the engine refuses; SET says which and why.
		if c, ok = newConn(s.lib, s.connArgs(token, req.queryID, 0)); !ok {
			return nil, newException(codeLogicalError, "The engine gave no connection")
		}
		err := c.apply(req.settings)
		c.close()
		if err == nil {
			err = newException(codeBadArguments, "The engine refuses the settings")
		}
		return nil, err
	}
	if req.database != "" && req.database != "default" {
		if err := c.use(req.database); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// run waits for a slot and runs the job's statement on its connection.
func (s *Server) run(ctx context.Context, j *job, format, insertFormat string, emit func([]byte) error) (st stats, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return st, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return st, err
	}
	if isHello(j.st.sql, j.req.protocol) {
		b, err := appendHello(nil, s.displayName, s.version, s.timezone)
		if err != nil {
			return st, err
		}
		return st, emit(b)
	}
	if j.req.sessionID != "" {
		return s.runInSession(ctx, j, format, insertFormat, emit)
	}
	readonly := 0
	if j.get {
		readonly = 2 // settings may be chosen, data not changed
	}
	if j.user == UserReader {
		readonly = 1
	}
	token := s.newToken()
	c, err := s.connect(j.req, token, readonly)
	if err != nil {
		return st, err
	}
	defer c.close()
	if j.user == UserReader {
		if err := guardReader(j.st, j.req.params, s.tableFunctions); err != nil {
			return st, err
		}
		// I5: the engine's parser has the last word. What does not parse runs
		// into the engine's own error.
		if class, ok := c.classify(j.st.sql); ok && class != classReadOnly {
			return st, newException(codeReadonly, "reader: this statement is not read only")
		}
	}
	return s.runOn(ctx, c, token, j, format, insertFormat, emit)
}

func (s *Server) runInSession(ctx context.Context, j *job, format, insertFormat string, emit func([]byte) error) (st stats, err error) {
	ses, err := s.takeSession(j.req)
	if err != nil {
		return st, err
	}
	broken := false
	defer func() { s.giveSession(j.req, ses, broken) }()
	if j.get && j.st.verb != "SET" && j.st.verb != "USE" {
		// readonly=2 could not be taken back on this connection.
		if class, ok := ses.conn.classify(j.st.sql); ok && class != classReadOnly {
			return st, newException(codeReadonly, "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
		}
	}
	restore, err := ses.override(j.req)
	if err == nil {
		st, err = s.runOn(ctx, ses.conn, ses.token, j, format, insertFormat, emit)
	}
	if restoreErr := restore(); restoreErr != nil {
		broken = true
		err = errors.Join(err, restoreErr)
	}
	return st, err
}

// runOn runs the statement by the call that its kind needs, and kills it when ctx
// ends first.
func (s *Server) runOn(ctx context.Context, c *conn, token string, j *job, format, insertFormat string, emit func([]byte) error) (st stats, err error) {
	call := func() error {
		switch j.st.kind {
		case kindSelect:
			return c.stream(j.st.sql, format, j.req.params, &st, emit)
		case kindInsert:
			var err error
			st, err = runInsert(ctx, c, j, insertFormat)
			return err
		default:
			var err error
			st, err = c.exec(j.st.sql, format, j.req.params, emit)
			return err
		}
	}
	err = s.killable(ctx, token, call)
	if ctxErr := ctx.Err(); ctxErr != nil && err != nil {
		return st, ctxErr
	}
	return st, err
}

// killable runs call; when ctx ends before it returns, its statement is killed
// (I3). The kill is repeated because it may come before the engine has
// registered the statement. It returns after the last kill, so that none can hit what
// runs on the connection next.
func (s *Server) killable(ctx context.Context, token string, call func() error) error {
	returned, killer := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killer)
		tick := time.NewTicker(killEvery)
		defer tick.Stop()
		for {
			select {
			case <-returned:
				return
			default:
			}
			s.kill(token)
			select {
			case <-returned:
				return
			case <-tick.C:
			}
		}
	})
	err := call()
	close(returned)
	if !stop() {
		<-killer
	}
	return err
}

// kill asks the engine to stop the statements of a connection; it does not wait for it.
func (s *Server) kill(token string) {
	s.rootMu.Lock()
	defer s.rootMu.Unlock()
	_, err := s.root.exec("KILL QUERY WHERE Settings['"+killSetting+"'] = "+quote(token)+" ASYNC", "Null", params{}, nil)
	if err != nil {
		s.cfg.Logger.Warn("query not killed", slog.String("token", token), slog.Any("error", err))
	}
}
