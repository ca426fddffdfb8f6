package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// planted is looked for in everything that is written.
const planted = "hush-4711"

type holder struct {
	Name string
	Text Text
	mine Text
	deep struct{ mine Text }
	list []Text
	by   map[string]Text
}

// TestQ1: no way of writing a value shows the secret in it.
func TestQ1(t *testing.T) {
	s := New(planted)
	h := holder{Name: "n", Text: s, mine: s, list: []Text{s}, by: map[string]Text{"a": s}}
	h.deep.mine = s
	f := func(how, text string) {
		t.Helper()
		if strings.Contains(text, planted) || strings.Contains(text, fmt.Sprintf("%x", planted)) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	for _, v := range []any{s, &s, h, &h, []holder{h}, map[string]any{"x": s}, fmt.Errorf("with %v", s), struct{ error }{fmt.Errorf("in %+v", h)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3s"} {
			f(verb, fmt.Sprintf(verb, v))
		}
		f("Println", fmt.Sprintln(v))
		j, err := json.Marshal(v)
		f("json", string(j))
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v, slog.Group("g", "v", v))
		f("slog", b.String())
	}
	y, err := yaml.Marshal(map[string]any{"text": s, "holder": h})
	if err != nil {
		t.Error(err)
	}
	f("yaml", string(y))
	if got := fmt.Sprintf("%v %q", s, Text{}); got != "(secret) " {
		t.Errorf("%q", got)
	}
}

func TestText(t *testing.T) {
	a, b := New(planted), New(planted)
	if a.Reveal() != planted || !a.Equal(b) || a.Equal(Text{}) || a.Equal(New("hush")) || !New("").Equal(Text{}) {
		t.Error("not the secret that was given")
	}
	if a.Empty() || !New("").Empty() || New("").Reveal() != "" {
		t.Error("empty and not empty are mixed up")
	}
}
