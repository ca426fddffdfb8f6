package ask

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wattline/wattline/internal/secret"
)

func TestAsk(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		if user != "reader" || password != "p" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, r.URL.Query().Get("database")+": "+string(body))
	}))
	defer srv.Close()
	f := func(password, wantAnswer, wantFault string) {
		t.Helper()
		var out strings.Builder
		s := Store{Base: srv.URL, User: "reader", Password: secret.New(password)}
		err := s.Ask(t.Context(), &out, url.Values{"database": {"d"}}, "SELECT 1")
		if out.String() != wantAnswer || wantFault == "" && err != nil || wantFault != "" && (err == nil || err.Error() != wantFault) {
			t.Errorf("%q, %v; want %q, %q", out.String(), err, wantAnswer, wantFault)
		}
	}
	f("p", "d: SELECT 1", "")
	f("wrong", "", "who are you?")
}
