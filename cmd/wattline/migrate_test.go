package main

import (
	"bytes"
	"strings"
	"testing"
)

// The SQL of grants is printed without any store, and nothing that is not a hash gets into it.
func TestMigrateGrants(t *testing.T) {
	f := func(hash string, wantCode int, want string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := dispatch(t.Context(), stdio{strings.NewReader(""), &out, &errs}, []string{"migrate", "--grants", hash})
		if got := out.String() + errs.String(); code != wantCode || !strings.Contains(got, want) {
			t.Errorf("--grants %q: %d %s, want %d and %q", hash, code, got, wantCode, want)
		}
	}
	f(strings.Repeat("ab", 32), exitOK, "GRANT SELECT ON `wattline`.* TO wattline_reader;\n")
	f("a password", exitUsage, "not a SHA-256")
}
