package jsontext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzSkip: any text, against encoding/json (T1).
func FuzzSkip(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0.5e+3,"\ud83d\ude00 \n",true,false,null,{}],"b":""}`, "[]", `"\u12"`, "01", "-", "1.", "1e", "{\"a\" 1}", "[1,]", `"` + "\x01" + `"`,
		strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), `"\ud83d"`, " 7 ", "nul", `{"a":1,}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		s := Scanner{B: text}
		i := Blanks(text, 0)
		if i < len(text) {
			i = s.Skip(i, 0)
		} else {
			i = s.Syntax(i, "nothing")
		}
		if i >= 0 && Blanks(text, i) < len(text) {
			i = s.Syntax(i, "something follows")
		}
		if !bytes.Equal(before, text) {
			t.Fatalf("%q was changed", before)
		}
		ok := i >= 0
		if ok != (s.Fault == "") || !ok && (s.FaultAt < 0 || s.FaultAt > len(text)) {
			t.Fatalf("%q: accepted %t with fault %q at %d", text, ok, s.Fault, s.FaultAt)
		}
		if ok != json.Valid(text) && !strings.Contains(s.Fault, "nested") {
			t.Fatalf("%q: accepted %t, encoding/json says %t (%s)", text, ok, json.Valid(text), s.Fault)
		}
	})
}

// FuzzStr: any string, against encoding/json.
func FuzzStr(f *testing.F) {
	for _, s := range []string{`"plain"`, `"a\tb\u00e4\ud83d\ude00\ud83dx\/"`, `""`, `"`, `"\q"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || text[0] != '"' || !utf8.Valid(text) {
			return
		}
		s := Scanner{B: text}
		got, next := s.Str(0)
		var want string
		err := json.Unmarshal(text, &want)
		if next == len(text) && err == nil {
			if string(got) != want {
				t.Fatalf("%q: %q, want %q", text, got, want)
			}
			return
		}
		if (next == len(text)) != (err == nil) && json.Valid(text) {
			t.Fatalf("%q: next %d, encoding/json says %v", text, next, err)
		}
	})
}
