package main

import (
	"context"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/livebill"
	"github.com/wattline/wattline/internal/liveview"
)

// finalFor is how long the bill of a session that has ended stays on the screen.
const finalFor = 8 * time.Second

// keys reads single keys of a terminal until calm is called; in is something else: there are none. In this mode Ctrl-C is
// a key.
func keys(in io.Reader) (pressed <-chan byte, calm func()) {
	f, ok := in.(*os.File)
	if !ok || !terminal(f) {
		return nil, func() {}
	}
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, func() {} // the view works without keys
	}
	ch := make(chan byte)
	go func() { // it ends with the program: a read of a terminal can not be broken off
		var b [1]byte
		for {
			if n, err := f.Read(b[:]); err != nil || n == 0 {
				return
			}
			ch <- b[0]
		}
	}()
	return ch, func() { _ = term.Restore(int(f.Fd()), before) }
}

// press does what a key asks for; true: it is to end.
func (v *viewer) press(key byte) (stop bool) {
	const ctrlC, ctrlD = 3, 4
	switch key {
	case ctrlC, ctrlD, 'q':
		return true
	case 'b':
		v.billing = !v.billing
	case 'n':
		v.next(v.billOf)
	}
	return false
}

// keyHint says how to get to the bill, where there are keys.
func (v *viewer) keyHint() string {
	if !v.keys {
		return ""
	}
	return "; key b: a bill"
}

// next chooses the dearest session but after: the one below it, or the first.
func (v *viewer) next(after *livebill.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	v.billOf, v.billRows, v.billEnded = nil, nil, time.Time{}
	list, _ := v.d.n.engine.Dearest(ctx, 10) // none is shown as none
	if len(list) == 0 {
		return
	}
	i := 0
	if after != nil {
		i = slices.IndexFunc(list, func(s engine.SessionView) bool { return s.ID == after.ID }) + 1
	}
	v.billOf = livebill.Of(&list[i%len(list)])
}

// billWithin bounds the questions of a bill.
const billWithin = 3 * time.Second

// bill is the explained bill of a session: the one that was chosen, until it has ended and was seen so.
func (v *viewer) bill(ctx context.Context) *liveview.Bill {
	ctx, cancel := context.WithTimeout(ctx, billWithin)
	defer cancel()
	if v.billOf == nil || !v.billEnded.IsZero() && time.Since(v.billEnded) > finalFor {
		v.next(v.billOf)
	}
	const title = "Wattline demo: the bill of a session, live; key b: back, n: the next session"
	if v.billOf == nil {
		return &liveview.Bill{Title: title}
	}
	id, _ := engine.ParseSessionID(v.billOf.ID)
	err := v.readRows(ctx, id) // before the price, which has all that the rows have
	found, unknown := v.d.n.engine.Session(ctx, v.billOf.ID)
	switch {
	case len(found) == 1:
		v.billOf = livebill.Of(&found[0])
	case unknown == nil && v.billEnded.IsZero():
		if ended, unread := v.d.n.store.Ended(ctx, []engine.SessionID{id}); unread == nil && len(ended) == 1 {
			v.billOf, v.billEnded = livebill.Of(&ended[0]), time.Now()
			v.billOf.Final = true
			err = v.readRows(ctx, id)
		}
	}
	b := livebill.Explain(v.billOf, v.billRows)
	b.Title = title
	if err != nil {
		b.Note = "its rows could not be read now, and may lack some"
	}
	return b
}

// readRows reads the rows of the bill; those of before stay where that fails.
func (v *viewer) readRows(ctx context.Context, id engine.SessionID) error {
	rows, err := v.d.n.store.Bill(ctx, id, v.billOf.Location)
	if err == nil {
		v.billRows = rows
	}
	return err
}
