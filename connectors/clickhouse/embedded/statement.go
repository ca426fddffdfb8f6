package embedded

import "strings"

// stmtKind is how a statement has to be run.
type stmtKind uint8

const (
	kindOther  stmtKind = iota // chdb_query: DDL, SHOW, INSERT SELECT...
	kindSelect                 // chdb_stream_query: output flows
	kindInsert                 // chdb_stream_insert: data follows inline or in the body
)

// statement is a request's SQL, taken apart as far as running it needs.
type statement struct {
	kind stmtKind
	// verb is the first keyword in upper case, "" for an empty text.
	verb string
	// sql is what the engine gets. For kindInsert without FORMAT, VALUES and data.
	sql string
	// format is the FORMAT clause, "" when there is none. For kindInsert the
	// format of the data, "Values" for VALUES.
	format string
	// dataAt is where the inline data of a kindInsert starts in the parsed text.
	dataAt int
}

// parseStatement takes text apart. It refuses what the interface must not let
// through whoever asks: a second statement, INTO OUTFILE, FROM INFILE. What does not parse
// otherwise is left to the engine, whose error text is better.
//
// text may be the head of a longer body when it is an INSERT with data; nothing
// after FORMAT name or VALUES is looked at.
func parseStatement(text string) (statement, error) {
	l := lexer{text: text}
	t := l.next()
	if t.kind == tokEnd || t.kind == tokPunct && text[t.from] == ';' {
		return statement{}, newException(codeSyntaxError, "Empty query")
	}
	for t.kind == tokPunct && text[t.from] == '(' { // (SELECT 1) UNION ALL (SELECT 2)
		t = l.next()
	}
	st := statement{sql: text}
	if t.kind == tokWord {
		st.verb = strings.ToUpper(text[t.from:t.to])
	}
	switch st.verb {
	case "INSERT":
		ok, err := parseInsert(&st, &l)
		if ok || err != nil {
			return st, err
		}
	case "SELECT", "WITH", "FROM":
		st.kind = kindSelect
	case "SYSTEM":
		// They end the process, or all of its group: here that is more than a server.
		if t = l.next(); isKeyword(text, t, "SHUTDOWN") || isKeyword(text, t, "KILL") {
			return st, newException(codeNotImplemented, "SYSTEM SHUTDOWN and SYSTEM KILL are not allowed, stop the store instead")
		}
	}
	err := scanStatement(&st)
	return st, err
}

// parseInsert finds where the data of an INSERT starts. It returns false when the
// INSERT brings no data (INSERT SELECT), which is then a statement like any other.
func parseInsert(st *statement, l *lexer) (isData bool, err error) {
	text := l.text
	t, ok := insertTarget(l)
	if !ok {
		return false, nil
	}
	depth := 0
	for ; ; t = l.next() {
		switch t.kind {
		case tokEnd, tokBad:
			if t.kind == tokEnd && depth == 0 { // INSERT INTO t: data in the default format
				st.kind, st.format, st.sql, st.dataAt = kindInsert, "", text, len(text)
				return true, nil
			}
			return false, nil
		case tokPunct:
			switch text[t.from] {
			case '(':
				depth++
			case ')':
				depth--
			case ';':
				if depth == 0 {
					st.kind, st.format, st.sql, st.dataAt = kindInsert, "", text[:t.from], t.from
					return true, onlyEnd(l)
				}
			}
			continue
		case tokWord:
		default:
			continue
		}
		word := strings.ToUpper(text[t.from:t.to])
		if depth > 0 {
			if word == "SELECT" || word == "WITH" {
				return false, nil
			}
			continue
		}
		switch word {
		case "SELECT", "WITH", "FROM", "WATCH", "EXPLAIN":
			return false, nil
		case "VALUES":
			st.kind, st.format, st.sql, st.dataAt = kindInsert, "Values", text[:t.from], t.to
			return true, nil
		case "FORMAT":
			name := l.next()
			if name.kind != tokWord {
				return false, nil
			}
			st.kind, st.format = kindInsert, text[name.from:name.to]
			st.sql, st.dataAt = text[:t.from], dataStart(text, name.to)
			if strings.EqualFold(st.format, "Values") {
				st.format = "Values"
			}
			return true, nil
		}
	}
}

// insertTarget skips INTO and the name, which may itself be a keyword: t, db.t,
// FUNCTION f. It returns the token behind it.
func insertTarget(l *lexer) (t token, ok bool) {
	if !isKeyword(l.text, l.next(), "INTO") {
		return t, false
	}
	t = l.next()
	if isKeyword(l.text, t, "TABLE") {
		t = l.next()
	}
	if isKeyword(l.text, t, "FUNCTION") {
		l.next()
	}
	t = l.next()
	for t.kind == tokPunct && l.text[t.from] == '.' {
		l.next()
		t = l.next()
	}
	return t, true
}

// dataStart skips what may stand between "FORMAT name" and the data: blanks, a
// semicolon that ends the text, one end of line. Data can begin with blanks after that.
func dataStart(text string, at int) int {
	i := at
	for i < len(text) && strings.IndexByte(" \t\f\r", text[i]) >= 0 {
		i++
	}
	if i < len(text) && text[i] == ';' && strings.Trim(text[i+1:], " \t\f\r\n") == "" {
		return len(text)
	}
	if i < len(text) && text[i] == '\n' {
		i++
	}
	return i
}

// onlyEnd refuses anything after the ; that ended a statement.
func onlyEnd(l *lexer) error {
	for {
		t := l.next()
		switch {
		case t.kind == tokEnd:
			return nil
		case t.kind == tokPunct && l.text[t.from] == ';':
		default:
			return newException(codeSyntaxError, "Multi-statements are not allowed")
		}
	}
}

// oneStatement refuses a semicolon that more follows.
func oneStatement(text string) error {
	l := lexer{text: text}
	for {
		switch t := l.next(); {
		case t.kind == tokEnd || t.kind == tokBad:
			return nil
		case t.kind == tokPunct && text[t.from] == ';':
			return onlyEnd(&l)
		}
	}
}

// scanStatement walks a statement that is all SQL: one statement, no host files,
// and the last FORMAT clause.
func scanStatement(st *statement) error {
	l := lexer{text: st.sql}
	var prev2, prev token
	depth := 0
	for {
		t := l.next()
		switch {
		case t.kind == tokEnd || t.kind == tokBad:
			return nil
		case t.kind == tokPunct && l.text[t.from] == '(':
			depth++
		case t.kind == tokPunct && l.text[t.from] == ')':
			depth--
		case t.kind == tokPunct && l.text[t.from] == ';':
			st.sql = l.text[:t.from]
			return onlyEnd(&l)
		case isKeyword(l.text, prev, "INTO") && isKeyword(l.text, t, "OUTFILE") && !isKeyword(l.text, prev2, "INSERT"):
			return newException(codeOutfileNotAllowed, "INTO OUTFILE is not allowed over HTTP")
		case isKeyword(l.text, prev, "INFILE") && isKeyword(l.text, prev2, "FROM") && t.kind == tokString:
			return newException(codeOutfileNotAllowed, "FROM INFILE is not allowed over HTTP")
		case depth == 0 && isKeyword(l.text, prev, "FORMAT") && t.kind == tokWord && prev2.kind != tokEnd:
			st.format = l.text[t.from:t.to]
		}
		prev2, prev = prev, t
	}
}

func isKeyword(text string, t token, upper string) bool {
	return t.kind == tokWord && strings.EqualFold(text[t.from:t.to], upper)
}
