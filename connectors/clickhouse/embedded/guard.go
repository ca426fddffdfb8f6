package embedded

import "strings"

// readerVerbs are the statements a reader may send. USE, SET and KILL are left
// out though readonly=1 lets some of them through.
func readerVerb(verb string) bool {
	switch verb {
	case "SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS":
		return true
	}
	return false
}

// safeTableFunction says which table functions stay inside the database. Everything
// else that the engine knows is refused to the reader, so that a new version's
// new function is refused until somebody has looked at it.
func safeTableFunction(lower string) bool {
	switch lower {
	case "numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateseries", "generate_series",
		"generaterandom", "values", "sqlstandardvalues", "null", "format", "merge", "view",
		"mergetreeindex", "mergetreeprojection", "mergetreetextindex":
		return true
	}
	return false
}

// reachesHost says which ordinary functions read files of the host or call out.
func reachesHost(lower string) bool {
	switch lower {
	case "file", "catboostevaluate", "addresstoline", "addresstolinewithinlines", "addresstosymbol", "demangle":
		return true
	}
	return strings.HasPrefix(lower, "ai") && (strings.HasSuffix(lower, "classify") || strings.HasSuffix(lower, "generate") ||
		strings.HasSuffix(lower, "extract") || strings.HasSuffix(lower, "translate") || strings.HasSuffix(lower, "embed"))
}

// guardReader refuses a reader's statement that could leave the database (I4).
// tableFunctions are the engine's, in lower case. It works on tokens and knows no
// grammar: a name before a parenthesis is a call, and with APPLY a function is
// called without one, so there every name counts. A column named like
// a refused function is fine otherwise.
func guardReader(st statement, p params, tableFunctions map[string]bool) error {
	if !readerVerb(st.verb) {
		return newException(codeReadonly, "reader: %s is not allowed, this user may only read", orStatement(st.verb))
	}
	refused := func(name string) bool {
		lower := strings.ToLower(name)
		return reachesHost(lower) || tableFunctions[lower] && !safeTableFunction(lower)
	}
	l := lexer{text: st.sql}
	var names []string // bare and quoted names, unquoted
	var called []string
	apply, identifier := false, false
	last := token{}
	for {
		t := l.next()
		if t.kind == tokEnd {
			break
		}
		switch t.kind {
		case tokBad:
			return newException(codeSyntaxError, "Unclosed quote or comment")
		case tokWord:
			names = append(names, l.text[t.from:t.to])
			apply = apply || isKeyword(l.text, t, "APPLY")
			identifier = identifier || isKeyword(l.text, t, "Identifier")
		case tokQuoted:
			name := l.text[t.from+1 : t.to-1]
			if strings.ContainsRune(name, '\\') { // could spell any name
				return newException(codeReadonly, "reader: a backslash in a quoted name is not allowed")
			}
			names = append(names, name)
		case tokPunct:
			if l.text[t.from] == '(' && (last.kind == tokWord || last.kind == tokQuoted) {
				called = append(called, names[len(names)-1])
			}
		}
		last = t
	}
	if apply {
		called = names
	}
	if identifier {
		called = append(called, p.values...)
	}
	for _, name := range called {
		if refused(name) {
			return newException(codeReadonly, "reader: %s is not allowed, it can leave the database", name)
		}
	}
	return nil
}

func orStatement(verb string) string {
	if verb == "" {
		return "this statement"
	}
	return verb
}

// readerSetting says which settings a reader may choose: how results look and
// smaller limits, nothing that changes what may be done.
func readerSetting(name string) bool {
	switch name {
	case "max_execution_time", "max_result_rows", "max_result_bytes", "max_block_size", "result_overflow_mode",
		"session_timezone", "date_time_output_format", "join_use_nulls", "max_rows_to_read", "max_bytes_to_read",
		"network_compression_method", "network_zstd_compression_level", "log_comment", "extremes":
		return true
	}
	return strings.HasPrefix(name, "output_format_")
}
