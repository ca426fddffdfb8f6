package ocpi

import (
	"strconv"
	"strings"
)

// kind is what a node is.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindList
	kindObject
)

// maxDepth bounds the nesting of a file: OCPI needs 8, and the reader recurses.
const maxDepth = 64

// node is one value of a file, JSON or YAML. Scalars keep their text as written (O1).
type node struct {
	parent *node
	key    string // in an object
	index  int    // in a list
	kind   kind
	loose  bool   // an unquoted YAML scalar: may be meant as text whatever it looks like
	text   string // of a scalar
	items  []*node
}

// path says where the node stands, from the root of the file.
func (n *node) path() string {
	if n == nil || n.parent == nil {
		return ""
	}
	up := n.parent.path()
	if n.parent.kind == kindList {
		return up + "[" + strconv.Itoa(n.index) + "]"
	}
	if !plainKey(n.key) {
		return up + "[" + strconv.Quote(n.key) + "]"
	}
	if up == "" {
		return n.key
	}
	return up + "." + n.key
}

// plainKey says whether a key can stand in a path without quotes.
func plainKey(key string) bool {
	if key == "" {
		return false
	}
	for _, c := range key {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`.[]":`, c) {
			return false
		}
	}
	return true
}

// get finds a field of an object. nil when it is absent, null, or n is no object.
func (n *node) get(key string) *node {
	if n == nil || n.kind != kindObject {
		return nil
	}
	for _, item := range n.items {
		if item.key == key && item.kind != kindNull {
			return item
		}
	}
	return nil
}

// what names the node in a message: its text, or its kind.
func (n *node) what() string {
	switch n.kind {
	case kindNull:
		return "null"
	case kindList:
		return "a list"
	case kindObject:
		return "an object"
	case kindBool, kindNumber:
		return short(n.text)
	default:
		return strconv.Quote(short(n.text))
	}
}

func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// object says whether n is an object, and reports when it is not.
func (r *reader) object(n *node) bool {
	if n.kind == kindObject {
		return true
	}
	r.fault(n, "%s is not an object", n.what())
	return false
}

// list says whether n is a list, and reports when it is not.
func (r *reader) list(n *node) bool {
	if n.kind == kindList {
		return true
	}
	r.fault(n, "%s is not a list", n.what())
	return false
}

// textOf gives the text of a scalar; a JSON number is not a text, an unquoted YAML one may be.
func (r *reader) textOf(n *node) (string, bool) {
	if n.kind == kindText || n.loose && (n.kind == kindNumber || n.kind == kindBool) {
		return n.text, true
	}
	r.fault(n, "%s is not a text", n.what())
	return "", false
}

// textField reads an optional text field; "" when absent or faulty.
func (r *reader) textField(n *node, key string) string {
	f := n.get(key)
	if f == nil {
		return ""
	}
	s, _ := r.textOf(f)
	return s
}

// unknownFields reports every field of n that is not in the list.
func (r *reader) unknownFields(n *node, say func(*node, string, ...any), known ...string) {
	for _, item := range n.items {
		found := false
		for _, k := range known {
			found = found || item.key == k
		}
		if !found {
			say(item, "unknown field")
		}
	}
}
