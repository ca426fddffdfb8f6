package engine

import (
	"errors"

	"github.com/wattline/wattline/engine/ends"
)

// Clock is the time of day for what decides no row: block age, retries, back-off.
type Clock = ends.Clock

// SystemClock is the machine's clock.
type SystemClock = ends.SystemClock

func isHalt(err error) bool {
	var h *Halt
	return errors.As(err, &h)
}
