package embedded

import (
	"strings"
	"time"
)

// session is an engine connection that a client keeps by a session_id: its
// settings, database and temporary tables last. Guarded by Server.mu.
type session struct {
	conn  *conn
	token string
	busy  bool
	timer *time.Timer // closes it when unused
}

// takeSession finds or makes the session and marks it busy. Two requests at once in one
// session are refused, as on a server.
func (s *Server) takeSession(req *request) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses := s.sessions[req.sessionID]
	if ses == nil {
		if req.sessionCheck {
			return nil, newException(codeSessionNotFound, "Session %s not found", req.sessionID)
		}
		token := s.newToken()
		c, ok := newConn(s.lib, s.connArgs(token, req.queryID, 0))
		if !ok {
			return nil, newException(codeLogicalError, "The engine gave no connection")
		}
		ses = &session{conn: c, token: token}
		ses.timer = time.AfterFunc(time.Hour, func() { s.dropSession(req.sessionID, ses) })
		s.sessions[req.sessionID] = ses
	}
	if ses.busy {
		return nil, newException(codeSessionLocked, "Session %s is locked by a concurrent client", req.sessionID)
	}
	ses.busy = true
	ses.timer.Stop()
	return ses, nil
}

// giveSession ends a request's use and starts the clock.
func (s *Server) giveSession(req *request, ses *session, broken bool) {
	s.mu.Lock()
	ses.busy = false
	live := req.sessionFor
	if live == 0 {
		live = s.cfg.SessionTimeout
	}
	ses.timer.Reset(live)
	s.mu.Unlock()
	if req.closeSession || broken {
		s.dropSession(req.sessionID, ses)
	}
}

// dropSession closes a session that nobody uses.
func (s *Server) dropSession(id string, ses *session) {
	s.mu.Lock()
	drop := s.sessions[id] == ses && !ses.busy
	if drop {
		delete(s.sessions, id)
		ses.timer.Stop()
	}
	s.mu.Unlock()
	if drop {
		ses.conn.close()
	}
}

// override sets a request's own settings and database on the session's connection
// and returns how to put the old ones back: URL settings belong to the request.
func (ses *session) override(req *request) (restore func() error, err error) {
	nothing := func() error { return nil }
	if len(req.settings) == 0 && req.database == "" {
		return nothing, nil
	}
	var old []setting
	for _, st := range req.settings {
		v, err := ses.conn.value("SELECT toString(getSetting(" + quote(st.name) + "))")
		if err != nil {
			return nothing, err
		}
		old = append(old, setting{st.name, v})
	}
	db, err := ses.conn.value("SELECT currentDatabase()")
	if err != nil {
		return nothing, err
	}
	if err := ses.conn.apply(req.settings); err != nil {
		return nothing, err
	}
	restore = func() error {
		if err := ses.conn.apply(old); err != nil {
			return err
		}
		return ses.conn.use(db)
	}
	if req.database != "" {
		if err := ses.conn.use(req.database); err != nil {
			return restore, err
		}
	}
	return restore, nil
}

// use makes db the current database.
func (c *conn) use(db string) error {
	if strings.ContainsRune(db, 0) {
		return newException(codeBadArguments, "Database name holds a zero byte")
	}
	_, err := c.exec("USE "+quoteName(db), "Null", params{}, nil)
	return err
}
