package reflog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating/ocpi"
)

// Entry is a record of the reference log as people read it. It is good until the next one.
type Entry struct {
	Offset  int64
	AtMs    int64 // when it was published, ms since 1970 UTC
	By      string
	Key     string // as in docs/formats/reference.md
	What    string // new, changed, withdrawn, or published again without a change
	Changes []Change
	Object  []byte // of a new one: JSON
}

// Change is a field that differs from the version before. Was or Is is empty where the field was not there.
type Change struct{ Path, Was, Is string }

// Filter says which records History tells.
type Filter struct {
	Key     string // a part of the record's key; "" takes all
	SinceMs int64  // published then or later, ms since 1970 UTC
}

// History tells the records of a log, in order, each with what it changed. It keeps the newest version of every object whose
// key the filter takes: some 300 bytes a contract, so a log of millions is better asked by key. Errors: of the log, of a
// record that is none, and what each returns.
func History(ctx context.Context, log Log, f Filter, each func(*Entry) error) error {
	versions := map[string][]byte{}
	_, err := log.Reader.ReadLog(ctx, log.Topic, 0, 0, func(rec engine.Record) error {
		if !strings.Contains(string(rec.Key), f.Key) {
			return nil
		}
		e, err := entryOf(&rec, versions)
		if err != nil || e.AtMs < f.SinceMs {
			return err
		}
		return each(e)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", log.Topic, err)
	}
	return nil
}

// entryOf says what a record changed, and notes it.
func entryOf(rec *engine.Record, versions map[string][]byte) (*Entry, error) {
	e := &Entry{Offset: rec.Offset, AtMs: rec.TimestampMs, Key: string(rec.Key)}
	before, was := versions[e.Key]
	if rec.Value == nil {
		_, e.By, _ = strings.Cut(string(rec.ContentType), withdrawnBy)
		e.What = "withdrawn"
		delete(versions, e.Key)
		return e, nil
	}
	r, err := ocpi.DecodeReference(rec.Key, rec.Value)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", rec.Offset, err)
	}
	if r.Kind == "" {
		e.What = "of a kind that this release does not know"
		return e, nil
	}
	e.AtMs, e.By = r.AtMs, r.By
	now := object(&r, rec.Value)
	versions[e.Key] = now
	switch {
	case !was:
		e.What, e.Object = "new", now
	case bytes.Equal(before, now):
		e.What = "published again"
	default:
		e.What, e.Changes = "changed", changes(fieldsOf(before), fieldsOf(now))
	}
	return e, nil
}

// object is what a record holds, without who published it and when. The key of an installation is not told.
func object(r *ocpi.Reference, value []byte) []byte {
	var v map[string]json.RawMessage
	if err := json.Unmarshal(value[1:], &v); err != nil || r.Kind == ocpi.ReferenceInstallation {
		return []byte("{}")
	}
	return v[string(r.Kind)]
}

// field is a leaf of a JSON object.
type field struct{ path, value string }

// fieldsOf are the leaves of an object, in their order.
func fieldsOf(object []byte) (list []field) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber() // as it is written
	walk(d, "", &list)
	return list
}

// walk appends the leaves of the value that comes next.
func walk(d *json.Decoder, path string, list *[]field) {
	t, err := d.Token()
	if err != nil {
		return
	}
	switch t {
	case json.Delim('{'):
		for d.More() {
			name, _ := d.Token() // a name: the whole was read before
			at := fmt.Sprint(name)
			if path != "" {
				at = path + "." + at
			}
			walk(d, at, list)
		}
		_, _ = d.Token()
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			walk(d, fmt.Sprintf("%s[%d]", path, i), list)
		}
		_, _ = d.Token()
	default:
		*list = append(*list, field{path, fmt.Sprint(t)})
	}
}

// changes are the leaves that differ: those of now in their order, then those that are gone.
func changes(before, now []field) (list []Change) {
	was := map[string]string{}
	for _, f := range before {
		was[f.path] = f.value
	}
	for _, f := range now {
		if old, ok := was[f.path]; !ok || old != f.value {
			list = append(list, Change{f.path, old, f.value})
		}
		delete(was, f.path)
	}
	for _, f := range before {
		if _, gone := was[f.path]; gone {
			list = append(list, Change{Path: f.path, Was: f.value})
		}
	}
	return list
}

// Text is the entry as lines for people.
func (e *Entry) Text() string {
	var b strings.Builder
	by := e.By
	if by == "" {
		by = "(not said)"
	}
	fmt.Fprintf(&b, "%d  %s  %s  %s  %s\n", e.Offset, time.UnixMilli(e.AtMs).UTC().Format("2006-01-02 15:04:05Z"), by, e.Key, e.What)
	for _, c := range e.Changes {
		switch {
		case c.Was == "":
			fmt.Fprintf(&b, "    + %s: %s\n", c.Path, c.Is)
		case c.Is == "":
			fmt.Fprintf(&b, "    - %s: %s\n", c.Path, c.Was)
		default:
			fmt.Fprintf(&b, "    %s: %s -> %s\n", c.Path, c.Was, c.Is)
		}
	}
	if len(e.Object) > 2 {
		const most = 240
		text := e.Object
		if len(text) > most {
			text = append(slices.Clone(text[:most]), "..."...)
		}
		fmt.Fprintf(&b, "    %s\n", strings.ToValidUTF8(string(text), ""))
	}
	return b.String()
}
