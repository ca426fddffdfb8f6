package checkup

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Verdict is the outcome of a check.
type Verdict string

// The verdicts. Only Fail makes the whole fail.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // works, and may cost something one day
	Fail Verdict = "fail" // does not work, or would lose or double money
	Skip Verdict = "skip" // could not be looked at
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"` // such as "kafka topic wattline.readings retention.ms"
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Do      string  `json:"do,omitempty"` // what an operator does about it
}

// Report is all of them, in order.
type Report struct{ Checks []Check }

// Add notes a check.
func (r *Report) Add(v Verdict, name, found, do string) {
	if v == OK {
		do = ""
	}
	r.Checks = append(r.Checks, Check{name, v, found, do})
}

// Failed says whether one failed.
func (r *Report) Failed() bool { return r.Count(Fail) > 0 }

// Count is how many have the verdict.
func (r *Report) Count(v Verdict) int {
	n := 0
	for i := range r.Checks {
		if r.Checks[i].Verdict == v {
			n++
		}
	}
	return n
}

// Write writes a line for each check, and a sum.
func (r *Report) Write(w io.Writer) error {
	for _, c := range r.Checks {
		line := fmt.Sprintf("%-5s %s: %s", c.Verdict, c.Name, c.Found)
		if c.Do != "" {
			line += "; what to do: " + c.Do
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %d warnings, %d faults, %d not looked at\n", r.Count(OK), r.Count(Warn), r.Count(Fail), r.Count(Skip))
	return err
}

// WriteJSON writes the checks as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		OK     bool    `json:"ok"`
		Checks []Check `json:"checks"`
	}{!r.Failed(), r.Checks})
}

// short writes a duration in the largest unit that makes it whole, or in ms.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Second || d <= -time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}
