package ends

import (
	"context"
	"log/slog"
	"sync"
)

// Set is the ends of an engine.
type Set struct {
	Store, Producer, Reference, Group *End

	probes map[*End]Prober
}

// NewSet returns ends that are ok. The probers may be nil: then nobody is asked.
func NewSet(clock Clock, log *slog.Logger, store, group Prober) *Set {
	s := &Set{
		Store: New(Store, clock, log), Producer: New(Producer, clock, log), Reference: New(Reference, clock, log), Group: New(Group, clock, log),
		probes: map[*End]Prober{},
	}
	if store != nil {
		s.probes[s.Store] = store
	}
	if group != nil {
		s.probes[s.Group] = group
	}
	return s
}

func (s *Set) all() []*End { return []*End{s.Store, s.Producer, s.Reference, s.Group} }

// Probe asks the probers in the background until ctx ends; wg waits for them.
func (s *Set) Probe(ctx context.Context, wg *sync.WaitGroup) {
	for end, p := range s.probes {
		wg.Go(func() { end.Probe(ctx, p) })
	}
}

// Look looks at all ends; see End.Look.
func (s *Set) Look(waiting func() []any) {
	for _, e := range s.all() {
		e.Look(waiting)
	}
}

// States returns how the ends are, always in the same order.
func (s *Set) States() []State {
	var list []State
	for _, e := range s.all() {
		list = append(list, e.State())
	}
	return list
}
