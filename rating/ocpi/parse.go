package ocpi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxExpansion bounds what YAML aliases can blow a file up to, in nodes beyond one for each byte of it.
const maxExpansion = 1_000_000

// parseTree turns a JSON or YAML document into nodes. A file that is valid JSON is read as JSON, all else as
// YAML. nil when the document cannot be read at all; the faults are in r. src is not kept.
func (r *reader) parseTree(src []byte) *node {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(src) {
		r.fault(nil, "the file is not UTF-8 text")
		return nil
	}
	if json.Valid(src) {
		return r.jsonTree(src)
	}
	d := yaml.NewDecoder(bytes.NewReader(src))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.fault(nil, "the file is empty")
			return nil
		}
		r.fault(nil, "%s", yamlProblem(err))
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			r.fault(nil, "%s", yamlProblem(err))
			return nil
		}
		r.fault(nil, "the file has a second YAML document (line %d)", more.Line)
		return nil
	}
	if len(doc.Content) != 1 {
		r.fault(nil, "the file is empty")
		return nil
	}
	budget := maxExpansion + len(src)
	return r.fromYAML(doc.Content[0], &node{}, 0, &budget)
}

// jsonTree is parseTree for JSON that is known to be valid, and text.
func (r *reader) jsonTree(src []byte) *node {
	t := jsonTree{r: r, src: src}
	return t.value(&node{}, 0)
}

func yamlProblem(err error) string {
	return "neither JSON nor YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
}

// fromYAML converts one YAML node into n, which knows its place already, following aliases within the budget of nodes.
func (r *reader) fromYAML(y *yaml.Node, n *node, depth int, budget *int) *node {
	if *budget--; *budget < 0 || depth > maxDepth {
		r.fault(n, "is nested more than %d deep, or its aliases make more than %d values", maxDepth, maxExpansion)
		return nil
	}
	switch y.Kind {
	case yaml.AliasNode:
		return r.fromYAML(y.Alias, n, depth+1, budget)
	case yaml.SequenceNode:
		n.kind = kindList
		for i, c := range y.Content {
			item := r.fromYAML(c, &node{parent: n, index: i}, depth+1, budget)
			if item == nil {
				return nil
			}
			n.items = append(n.items, item)
		}
		return n
	case yaml.MappingNode:
		n.kind = kindObject
		return r.yamlFields(y, n, depth+1, budget)
	}
	return scalar(y, n)
}

func (r *reader) yamlFields(y *yaml.Node, n *node, depth int, budget *int) *node {
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			r.fault(n, "line %d: a key must be a plain text", key.Line)
			continue
		}
		item := r.fromYAML(y.Content[i+1], &node{parent: n, key: key.Value}, depth, budget)
		if item == nil {
			return nil
		}
		n.items = append(n.items, item)
	}
	r.givenTwice(n)
	return n
}

func scalar(y *yaml.Node, n *node) *node {
	n.text = y.Value
	n.loose = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch y.ShortTag() {
	case "!!null":
		n.kind = kindNull
	case "!!bool":
		n.kind = kindBool
	case "!!int", "!!float":
		n.kind = kindNumber
	default:
		n.kind = kindText
	}
	return n
}

// givenTwice reports keys that an object has more than once: which one counts would be a guess (O2).
func (r *reader) givenTwice(n *node) {
	if n.kind != kindObject {
		return
	}
	if len(n.items) <= 16 { // as all of OCPI are: a map costs more
		for i, item := range n.items {
			for _, before := range n.items[:i] {
				if before.key == item.key {
					r.fault(item, "the key is given twice")
					break
				}
			}
		}
		return
	}
	seen := make(map[string]bool, len(n.items))
	for _, item := range n.items {
		if seen[item.key] {
			r.fault(item, "the key is given twice")
		}
		seen[item.key] = true
	}
}
