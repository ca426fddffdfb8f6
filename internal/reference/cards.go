package reference

import (
	"fmt"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/redact"
)

// NoCardNumbers refuses records with what may be the number of a payment card: the reference log is kept for ever. The
// error names the record, never the number.
func NoCardNumbers(msgs []engine.Message) error {
	for _, m := range msgs {
		switch {
		case redact.CardNumber(m.Key):
			return fmt.Errorf("nothing was published: an id may be the number of a payment card (%d digits and more), and such a number is kept nowhere: give the object another id", redact.MinCard)
		case redact.CardNumber(m.Value):
			return fmt.Errorf("nothing was published: %s: a text in it may be the number of a payment card, and such a number is kept nowhere: take it out", m.Key)
		}
	}
	return nil
}
