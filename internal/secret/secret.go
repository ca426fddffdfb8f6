package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Text is a secret. The zero value is none. It may be copied.
type Text struct {
	// A pointer, since fmt asks no method of a field that is not exported: it then prints an address instead (Q1).
	v *string
}

var (
	_ fmt.Formatter  = Text{}
	_ slog.LogValuer = Text{}
)

// hidden is what is shown in the place of a secret.
const hidden = "(secret)"

// New returns s as a secret; "" is none.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{&s}
}

// Reveal returns the secret itself, for the one who logs in with it.
func (t Text) Reveal() string {
	if t.v == nil {
		return ""
	}
	return *t.v
}

// Empty says that there is none.
func (t Text) Empty() bool { return t.v == nil }

// Equal says whether both are the same, in a time that tells nothing of how much of them is. It also serves go-cmp.
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

// String returns "(secret)", or "" where there is none.
func (t Text) String() string {
	if t.v == nil {
		return ""
	}
	return hidden
}

// Format implements fmt.Formatter: no verb shows more than String.
func (t Text) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String()) // fmt keeps the error
}

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler, by which encoding/json and yaml write it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
