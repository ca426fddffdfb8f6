package api

import (
	"net/http"
	"strings"

	"github.com/wattline/wattline/internal/redact"
)

// noCards refuses to look for what may be the number of a payment card: no session has such an id, and the question would
// go on to the store, which may keep it.
func (h *handler) noCards(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if redact.CardNumber(r.PathValue("id")) {
			h.write(w, http.StatusBadRequest, failure{Error: "the id may be the number of a payment card; no session has such an id", Code: "pan_like"})
			return
		}
		next(w, r)
	}
}

// logged is a path as logs show it: without what was asked for, which may be anything.
func logged(path string) string {
	switch {
	case strings.HasPrefix(path, "/v1/sessions/"):
		return "/v1/sessions/..."
	case strings.HasPrefix(path, "/debug/"):
		return "/debug/..."
	case path == "/" || path == "/v1/sessions" || path == "/healthz" || path == "/readyz" || path == "/metrics":
		return path
	}
	return "another"
}
