package checkup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
)

// Store is what the configuration says, as far as a store has to fit it.
type Store struct {
	Fsync bool
}

// oldest is the ClickHouse that has all that the schema asks for (projections that outlive merges, 24.8).
const (
	oldestMajor = 24
	oldestMinor = 8
)

// Store judges what the store said.
func (r *Report) Store(want *Store, in *clickhouse.Inspection) {
	r.version(in.Version)
	r.schema(in)
	r.tables(want, in)
	switch {
	case in.GrantsErr != nil:
		r.Add(Skip, "clickhouse rights", fmt.Sprintf("not known: %v", in.GrantsErr), "the first insert or migration will tell")
	case len(in.Denied) > 0:
		r.Add(Fail, "clickhouse rights", "missing: "+strings.Join(in.Denied, ", "), "GRANT them ON the database to the user of clickhouse.user; without CREATE and ALTER run `wattline migrate` as somebody who has them")
	default:
		r.Add(OK, "clickhouse rights", "all that an engine needs", "")
	}
	r.storeClock(in.Ahead, in.RoundTrip)
	const percent = 100
	if in.TotalBytes > 0 {
		free := in.FreeBytes / (in.TotalBytes/percent + 1)
		found := fmt.Sprintf("%d GiB free of %d GiB", in.FreeBytes>>30, in.TotalBytes>>30)
		switch {
		case free < 2:
			r.Add(Fail, "clickhouse disk", found, "make room now: inserts stop when it is full")
		case free < 10:
			r.Add(Warn, "clickhouse disk", found, "make room: merges need some, too")
		default:
			r.Add(OK, "clickhouse disk", found, "")
		}
	}
}

func (r *Report) version(text string) {
	parts := strings.SplitN(text, ".", 3)
	major, err := strconv.Atoi(parts[0])
	minor := 0
	if err == nil && len(parts) > 1 {
		minor, err = strconv.Atoi(parts[1])
	}
	switch {
	case err != nil:
		r.Add(Skip, "clickhouse version", fmt.Sprintf("%q is no version that can be compared", text), "see that it is 24.8 or newer")
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		r.Add(Fail, "clickhouse version", text, "upgrade to 24.8 or newer: the tables need projections that outlive merges")
	default:
		r.Add(OK, "clickhouse version", text, "")
	}
}

func (r *Report) schema(in *clickhouse.Inspection) {
	found := fmt.Sprintf("%d, this program knows %d", in.Schema, in.NewestKnown)
	switch {
	case in.Schema > in.NewestKnown:
		r.Add(Fail, "clickhouse schema", found, "run the newer program that made it, or name another database")
	case in.Schema < 0:
		r.Add(Warn, "clickhouse schema", "there are no tables", "nothing: the engine makes them at its start, as `wattline migrate` does")
	case in.Schema < in.NewestKnown:
		r.Add(Warn, "clickhouse schema", found, "nothing: the engine brings it up to date at its start, as `wattline migrate` does; older programs are refused from then on")
	default:
		r.Add(OK, "clickhouse schema", strconv.Itoa(in.Schema), "")
	}
}

// tables judges the settings of our tables: how long tokens live, and whether inserts are flushed.
func (r *Report) tables(want *Store, in *clickhouse.Inspection) {
	names := []string{"charges", "sessions", "blocks"}
	for _, name := range names {
		full, there := in.Tables[name]
		if !there {
			if in.Schema >= 0 {
				r.Add(Fail, "clickhouse table "+name, "does not exist", "run `wattline migrate`; if it was dropped, so were its rows: see docs/runbook/store-schema.md")
			}
			continue
		}
		var missing []string
		dedup := false
		for _, s := range in.Wanted {
			if !clickhouse.HasSetting(full, s) {
				missing = append(missing, s)
				dedup = dedup || strings.Contains(s, "deduplication")
			}
		}
		key := "clickhouse table " + name + " settings"
		do := "ALTER TABLE " + name + " MODIFY SETTING " + strings.Join(missing, ", ")
		switch {
		case dedup:
			r.Add(Fail, key, "tokens of inserts live too short: missing "+strings.Join(missing, ", "), do+": otherwise rows can be doubled")
		case len(missing) > 0:
			r.Add(Warn, key, "missing "+strings.Join(missing, ", "), do+"; the engine does it at its start")
		default:
			r.Add(OK, key, strings.Join(in.Wanted, ", "), "")
		}
	}
	if !want.Fsync && slices.ContainsFunc(names, func(n string) bool { return in.Tables[n] != "" }) {
		r.Add(Warn, "clickhouse fsync", "clickhouse.fsync is false", "a power failure of the server may lose rows that were acknowledged; set it, unless replicas have them")
	}
}

func (r *Report) storeClock(ahead, roundTrip time.Duration) {
	off := max(ahead, -ahead) - roundTrip/2
	found := fmt.Sprintf("%s off this machine's, give or take %s", short(ahead.Round(time.Millisecond)), short((roundTrip / 2).Round(time.Millisecond)))
	switch {
	case off > time.Minute:
		r.Add(Fail, "clickhouse clock", found, "set the clocks: freshness is measured with both, and tokens are forgotten by the store's")
	case off > 2*time.Second:
		r.Add(Warn, "clickhouse clock", found, "run NTP on both")
	default:
		r.Add(OK, "clickhouse clock", found, "")
	}
}
