package reference

import (
	"strings"
	"testing"

	"github.com/wattline/wattline/engine"
)

// TestNoCardNumbers: what may be a card number does not get into the log that is kept for ever, nor into the refusal.
func TestNoCardNumbers(t *testing.T) {
	f := func(want, key, value string) {
		t.Helper()
		err := NoCardNumbers([]engine.Message{{Key: []byte("tariff/a"), Value: []byte(`{"at":1796007600000}`)}, {Key: []byte(key), Value: []byte(value)}})
		switch {
		case want == "" && err == nil:
		case err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4111"):
			t.Errorf("%s %s: %v, want %q", key, value, err, want)
		}
	}
	f("", "location/NL/WTL/1", `{"name":"Stroomweg 4111","coordinates":{"latitude":"52.0907"},"evse_id":"NL*WTL*E4111111111111112"}`)
	f("location/NL/WTL/1: a text", "location/NL/WTL/1", `{"name":"4111 1111 1111 1111"}`)
	f("an id may be", "location/NL/WTL/4111111111111111", `{}`)
}
