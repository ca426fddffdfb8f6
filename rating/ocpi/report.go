package ocpi

import (
	"fmt"
	"strings"
)

// Finding is one thing that is wrong or odd at one place of a file.
type Finding struct {
	Path    string // place in the file, as `tariffs.t1.elements[2].vat`; empty = the file as a whole
	Problem string // what is wrong there, a phrase without a full stop
}

// String gives "path: problem".
func (f Finding) String() string {
	if f.Path == "" {
		return f.Problem
	}
	return f.Path + ": " + f.Problem
}

// Report is everything that was found in one object or file, in the order of the file.
type Report struct {
	Faults   []Finding // what makes the object unusable
	Warnings []Finding // what is probably not meant; nothing is ever converted
}

// Err is nil without faults, else a *FaultError with all of them.
func (r *Report) Err() error {
	if len(r.Faults) == 0 {
		return nil
	}
	return &FaultError{Faults: r.Faults}
}

// add appends what another report found.
func (r *Report) add(o *Report) {
	r.Faults = append(r.Faults, o.Faults...)
	r.Warnings = append(r.Warnings, o.Warnings...)
}

// FaultError is the error form of a Report that has faults.
type FaultError struct {
	Faults []Finding // at least one
}

// Error lists the faults, separated by "; ".
func (e *FaultError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// reader walks a tree and collects what it finds.
type reader struct {
	rep    Report
	strict bool                    // hold a tariff to all that OCPI demands, not only to what pricing needs
	check  bool                    // say also what pricing can do without: id, currency
	zoneOK func(name string) error // nil: zone names are not checked
}

func (r *reader) fault(n *node, format string, args ...any) {
	r.rep.Faults = append(r.rep.Faults, Finding{Path: n.path(), Problem: fmt.Sprintf(format, args...)})
}

func (r *reader) warn(n *node, format string, args ...any) {
	r.rep.Warnings = append(r.rep.Warnings, Finding{Path: n.path(), Problem: fmt.Sprintf(format, args...)})
}

// lacks reports what OCPI demands but pricing does not need: a fault only in strict mode.
func (r *reader) lacks(n *node, format string, args ...any) {
	if r.strict {
		r.fault(n, format, args...)
		return
	}
	r.warn(n, format, args...)
}
