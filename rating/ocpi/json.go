package ocpi

import (
	"encoding/json"

	"github.com/wattline/wattline/internal/invariant"
)

// jsonTree turns JSON text into nodes. The text was found valid before: only its meaning is left to be read, which is
// an order of magnitude cheaper than asking encoding/json for one token after the other. An engine that starts reads
// every location again.
type jsonTree struct {
	r     *reader
	src   []byte
	at    int
	spare []node            // made in one piece
	keys  map[string]string // a list of objects has the same few keys again and again
}

// node takes one that is empty.
func (t *jsonTree) node() *node {
	if len(t.spare) == 0 {
		t.spare = make([]node, 64)
	}
	n := &t.spare[0]
	t.spare = t.spare[1:]
	return n
}

// peek passes over white space, and returns the byte behind it.
func (t *jsonTree) peek() byte {
	for {
		switch c := t.src[t.at]; c {
		case ' ', '\t', '\r', '\n':
			t.at++
		default:
			return c
		}
	}
}

// value reads one value into n, which knows its place already. nil when it is nested too deep; the fault is reported.
func (t *jsonTree) value(n *node, depth int) *node {
	switch t.peek() {
	case '{':
		n.kind = kindObject
		return t.items(n, '}', depth+1)
	case '[':
		n.kind = kindList
		return t.items(n, ']', depth+1)
	case '"':
		n.kind, n.text = kindText, string(t.text())
	case 'n':
		n.kind = kindNull
		t.at += len("null")
	case 't':
		n.kind, n.text = kindBool, "true"
		t.at += len("true")
	case 'f':
		n.kind, n.text = kindBool, "false"
		t.at += len("false")
	default:
		from := t.at
		for t.at < len(t.src) && isOfNumber(t.src[t.at]) {
			t.at++
		}
		n.kind, n.text = kindNumber, string(t.src[from:t.at])
	}
	return n
}

func isOfNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// items reads what an object or a list has, up to and including its end.
func (t *jsonTree) items(n *node, end byte, depth int) *node {
	if depth > maxDepth {
		t.r.fault(n, "is nested more than %d deep", maxDepth)
		return nil
	}
	t.at++
	for t.peek() != end {
		if t.src[t.at] == ',' {
			t.at++
			t.peek()
		}
		item := t.node()
		item.parent, item.index = n, len(n.items)
		if n.kind == kindObject {
			item.key = t.key()
			t.peek()
			t.at++ // the colon
		}
		if t.value(item, depth) == nil {
			return nil
		}
		n.items = append(n.items, item)
	}
	t.at++
	t.r.givenTwice(n)
	return n
}

// key reads a field's name.
func (t *jsonTree) key() string {
	text := t.text()
	if key, ok := t.keys[string(text)]; ok {
		return key
	}
	if t.keys == nil {
		t.keys = make(map[string]string)
	}
	key := string(text)
	t.keys[key] = key
	return key
}

// text reads a string. The bytes may be those of the source: whoever keeps them copies them.
func (t *jsonTree) text() []byte {
	from, escaped := t.at, false
	for t.at++; t.src[t.at] != '"'; t.at++ {
		if t.src[t.at] == '\\' {
			escaped = true
			t.at++
		}
	}
	t.at++
	if !escaped {
		return t.src[from+1 : t.at-1]
	}
	var s string
	if err := json.Unmarshal(t.src[from:t.at], &s); err != nil {
		invariant.Bug("string %q of valid JSON: %v", t.src[from:t.at], err)
	}
	return []byte(s)
}
