package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// The files that Rate writes into its folder.
const (
	ChargesFile  = "charges.parquet"
	SessionsFile = "sessions.parquet"
	RejectsFile  = "rejects.jsonl"
)

const (
	// blockRecords and blockRows end a block, whichever comes first: what a block holds is memory. One record may make
	// many rows, so blockRows is looked at after each.
	blockRecords = 4096
	blockRows    = 32 << 10

	minuteMs = 60_000
	// behindMs is how far behind the newest row a row may be before it is counted as behind.
	behindMs = 15 * minuteMs
	// leapMs is how far ahead of all rows before it a row may be before it is counted as a leap: a gap in the data, or a
	// clock that is wrong, and that closes every session.
	leapMs = 24 * 60 * minuteMs
)

// Config is what Rate can be told.
type Config struct {
	// Topic is the column topic of the rows, and a part of what a session's id is made of. Default: file.
	Topic string
	// SliceMs and SessionTimeoutMs are those of engine.Config, ms, with its defaults.
	SliceMs, SessionTimeoutMs int64
	// Progress is told how many rows of all are rated, every few thousand rows. Default: nobody is.
	Progress func(done, all int64)
}

// Summary is what Rate did.
type Summary struct {
	Rows     int64 // read
	Rejects  int64 // of them, not used
	Behind   int64 // of them, more than 15 minutes behind the newest row before them
	Leaps    int64 // of them, more than a day ahead of all rows before them
	Charges  int64 // rows written
	Sessions int64 // versions written
	Closed   int64 // sessions that were open at the end of the input, and were closed as by the watermark
}

// input is a file of readings.
type input struct {
	name string
	from int64 // offset of its first row
	rows int64
}

// Rate rates the readings of Parquet files, in the order of names, and writes charges.parquet, sessions.parquet and rejects.jsonl into the
// folder dir, which it makes. ref has followed its log, with an installation record. An error names file and row; nothing
// is left of the output then. A row that can not be used is a reject, not an error.
//
// A row is a record of one partition: its offset is its number, its timestamp is received, else at_ms. After the last
// row one more record comes, without a reading, so much later that the watermark closes every session that is open.
func Rate(ctx context.Context, cfg Config, ref *engine.Reference, names []string, dir string) (s Summary, err error) {
	if cfg.Topic == "" {
		cfg.Topic = "file"
	}
	run := &run{cfg: cfg, p: engine.Partition{Topic: cfg.Topic}, newestMs: rating.Unknown}
	for _, name := range names {
		in := input{name: name, from: run.all}
		err := withReader(name, func(d *reader) error {
			in.rows = d.foot.rows
			return nil
		})
		if err != nil {
			return s, err
		}
		run.all += in.rows
		run.inputs = append(run.inputs, in)
	}
	c := engine.Config{EngineID: "file", SliceMs: cfg.SliceMs, SessionTimeoutMs: cfg.SessionTimeoutMs}.WithDefaults()
	if err := c.Validate(); err != nil {
		return s, err
	}
	run.timeoutMs, run.book = c.SessionTimeoutMs, ref.Next()
	decoders := func(string, []byte) engine.Decode { return run.decode }
	if run.r, err = engine.NewReplayer(run.p, c, decoders, ref, nil); err != nil {
		return s, err
	}
	err = run.open(dir)
	if err == nil {
		err = run.rate(ctx)
	}
	return run.summary, run.end(dir, err)
}

// withReader opens a file, and closes it after fn. Errors name it.
func withReader(name string, fn func(d *reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err // has the name
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", name)
	}
	d, err := newReader(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer d.close()
	if err := fn(d); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// run is one Rate.
type run struct {
	cfg       Config
	p         engine.Partition
	inputs    []input
	all       int64
	timeoutMs int64
	book      int64
	r         *engine.Replayer

	out     *Writer
	rejects *os.File

	row      row // at hand; decode gives it to the shard
	over     bool
	began    bool // a block
	first    int64
	next     int64 // offset of the next row
	newestMs int64
	summary  Summary
}

func (r *run) open(dir string) (err error) {
	if r.out, err = NewWriter(dir); err != nil {
		return err
	}
	r.rejects, err = os.Create(filepath.Join(dir, RejectsFile) + ".part")
	return err
}

// end makes the files whole and then gives all of them their names, or leaves none.
func (r *run) end(dir string, err error) error {
	if r.rejects != nil {
		err = endFile(r.rejects, err)
	}
	if r.out != nil {
		err = r.out.End(err)
	}
	return rename(filepath.Join(dir, RejectsFile), err)
}

// decode is the shard's decoder: the reading is at hand already.
func (r *run) decode(_, _ []byte, dst []rating.Reading) ([]rating.Reading, error) {
	if r.over {
		return dst, nil
	}
	if r.row.fault != "" {
		return dst, errors.New(r.row.fault)
	}
	return append(dst, r.row.reading), nil
}

func (r *run) rate(ctx context.Context) error {
	for _, in := range r.inputs {
		err := withReader(in.name, func(d *reader) error {
			for {
				if err := d.next(&r.row); errors.Is(err, errEnd) {
					return nil
				} else if err != nil {
					return err
				}
				if err := r.one(ctx); err != nil {
					return fmt.Errorf("row %d: %w", d.row-1, err)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	if r.next == 0 || r.newestMs == rating.Unknown {
		return r.endBlock()
	}
	// Whatever is open is due by then: a session is closed in the minute after its last message and the time-out.
	r.over = true
	r.record(r.newestMs + r.timeoutMs + 2*minuteMs)
	return r.endBlock()
}

// one rates the row at hand.
func (r *run) one(ctx context.Context) error {
	r.summary.Rows++
	atMs := r.row.receivedMs
	if atMs == rating.Unknown {
		atMs = r.row.reading.AtMs
	}
	if atMs == rating.Unknown {
		r.row.refuse("neither at_ms nor received")
		atMs = max(r.newestMs, 0)
	}
	switch {
	case r.row.fault != "":
		atMs = min(atMs, max(r.newestMs, 0)) // what can not be used does not move the watermark
	case r.newestMs == rating.Unknown:
		r.newestMs = atMs
	default:
		r.summary.Behind += truth(atMs < r.newestMs-behindMs)
		r.summary.Leaps += truth(atMs > r.newestMs+leapMs)
		r.newestMs = max(r.newestMs, atMs)
	}
	r.record(atMs)
	if r.next-r.first < blockRecords && r.inBlock() < blockRows {
		return nil
	}
	if err := r.endBlock(); err != nil {
		return err
	}
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.next, r.all)
	}
	return ctx.Err()
}

// record gives the shard the next record.
func (r *run) record(atMs int64) {
	if !r.began {
		r.began, r.first = true, r.next
		r.r.Begin(r.first, r.book)
	}
	r.r.Rate(engine.Record{Offset: r.next, TimestampMs: atMs, Key: r.row.reading.ChargePoint})
	r.next++
}

// inBlock counts the rows of the block at hand.
func (r *run) inBlock() (n int) {
	b := r.r.Block()
	for i := range b.Charges {
		n += len(b.Charges[i].Position)
	}
	for i := range b.Sessions {
		n += len(b.Sessions[i].Version)
	}
	return n
}

// endBlock writes the block at hand, if there is one.
func (r *run) endBlock() error {
	if !r.began {
		return nil
	}
	r.began = false
	r.r.End(r.next - 1)
	b := r.r.Block()
	if err := r.out.Append(b); err != nil {
		return err
	}
	for i := range b.Sessions {
		rows := &b.Sessions[i]
		for j := range rows.Version {
			if r.over && rows.Status[j] == engine.StatusProvisional && rows.Version[j] == closing(r.next) {
				r.summary.Closed++
			}
		}
	}
	r.summary.Charges, r.summary.Sessions = r.out.charges.rows, r.out.sessions.rows
	return r.reject(b.Rejects)
}

// closing is the version of what the last of n records closed: between the last row and it (I3).
func closing(n int64) int64 { return (n-2)<<16 | engine.MaxReadings }

// reject writes the lines of rejects.
func (r *run) reject(list []engine.Message) error {
	var lines []byte
	for i := range list {
		var m struct {
			Offset int64  `json:"offset"`
			Reason string `json:"reason"`
		}
		if err := json.Unmarshal(list[i].Value, &m); err != nil {
			return fmt.Errorf("read a reject of the engine: %w", err)
		}
		// The last file that begins at or before the row: an empty one begins where the next does.
		at := sort.Search(len(r.inputs), func(i int) bool { return r.inputs[i].from > m.Offset }) - 1
		line, err := json.Marshal(struct {
			File   string `json:"file"`
			Row    int64  `json:"row"`
			Reason string `json:"reason"`
		}{r.inputs[at].name, m.Offset - r.inputs[at].from, m.Reason})
		if err != nil {
			return fmt.Errorf("write a reject: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	r.summary.Rejects += int64(len(list))
	if _, err := r.rejects.Write(lines); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	return nil
}
