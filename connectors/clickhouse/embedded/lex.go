package embedded

import "strings"

// tokenKind is what the lexer tells apart.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokWord             // bare word: keyword or name
	tokQuoted           // `name` or "name"
	tokString           // 'text' or heredoc
	tokNumber
	tokPunct // one byte
	tokBad   // an unclosed quote or comment; the rest of the text
)

// token is a piece of SQL; its bytes are text[from:to].
type token struct {
	kind     tokenKind
	from, to int
}

// lexer splits SQL as ClickHouse's Lexer does, as far as quotes, comments and words
// go: this decides what is code and what is not. Where the two could differ,
// it errs to the side of seeing more code (a guard then refuses more).
type lexer struct {
	text string
	pos  int
}

// next skips blanks and comments and returns the next token.
func (l *lexer) next() token {
	if !l.skipBlanks() {
		from := l.pos
		l.pos = len(l.text)
		return token{tokBad, from, l.pos}
	}
	if l.pos >= len(l.text) {
		return token{tokEnd, l.pos, l.pos}
	}
	from, c := l.pos, l.text[l.pos]
	switch {
	case isWordByte(c) && !isDigit(c):
		for l.pos < len(l.text) && (isWordByte(l.text[l.pos]) || l.text[l.pos] == '$') {
			l.pos++
		}
		return token{tokWord, from, l.pos}
	case isDigit(c):
		// Exponents and hex need no care: a letter stuck to a number is part of it.
		for l.pos < len(l.text) && (isWordByte(l.text[l.pos]) || l.text[l.pos] == '.') {
			l.pos++
		}
		return token{tokNumber, from, l.pos}
	case c == '\'':
		return l.quoted(tokString)
	case c == '`' || c == '"':
		return l.quoted(tokQuoted)
	case c == '$':
		return l.heredoc()
	default:
		l.pos++
		return token{tokPunct, from, l.pos}
	}
}

// skipBlanks returns false at an unclosed comment.
func (l *lexer) skipBlanks() bool {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v\x00", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "\u00a0"), strings.HasPrefix(rest, "\ufeff"):
			l.pos += len(rest) - len(strings.TrimLeft(rest, "\u00a0\ufeff"))
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest) - 1
			}
			l.pos += n + 1
		case strings.HasPrefix(rest, "/*"):
			if !l.skipBlockComment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// skipBlockComment stands on "/*"; comments nest.
func (l *lexer) skipBlockComment() bool {
	depth := 0
	for i := l.pos; i+1 < len(l.text); {
		switch l.text[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				l.pos = i
				return true
			}
		default:
			i++
		}
	}
	return false
}

// quoted reads to the closing quote; a backslash escapes, a doubled quote is one.
func (l *lexer) quoted(kind tokenKind) token {
	from, q := l.pos, l.text[l.pos]
	for i := from + 1; i < len(l.text); i++ {
		switch {
		case l.text[i] == '\\':
			i++
		case l.text[i] == q && i+1 < len(l.text) && l.text[i+1] == q:
			i++
		case l.text[i] == q:
			l.pos = i + 1
			return token{kind, from, l.pos}
		}
	}
	l.pos = len(l.text)
	return token{tokBad, from, l.pos}
}

// heredoc reads $tag$...$tag$; a lone $ is a byte of punctuation.
func (l *lexer) heredoc() token {
	from := l.pos
	end := from + 1
	for end < len(l.text) && isWordByte(l.text[end]) {
		end++
	}
	if end < len(l.text) && l.text[end] == '$' {
		tag := l.text[from : end+1]
		if n := strings.Index(l.text[end+1:], tag); n >= 0 {
			l.pos = end + 1 + n + len(tag)
			return token{tokString, from, l.pos}
		}
	}
	l.pos++
	return token{tokPunct, from, l.pos}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordByte(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
