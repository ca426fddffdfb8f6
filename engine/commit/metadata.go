package commit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limit is what Apache Kafka stores beside an offset by default (offset.metadata.max.bytes).
const Limit = 4096

// MaxBookChanges is how many book changes may come after a snapshot; the next one waits for another snapshot.
const MaxBookChanges = 16

// MaxBooks is how many books the metadata may name: the changes since both snapshots, and the one in force at the
// older.
const MaxBooks = 2*MaxBookChanges + 1

// Metadata is what a partition's offset commit says beside the offset: everything that a recovery needs to make
// the same bytes again (docs/formats/commit-metadata.md).
type Metadata struct {
	RatingVersion int32
	SliceMs       int64        // of the configuration that the rows were made with; -1: none
	TimeoutMs     int64        // session time-out, the same
	Partitioner   string       // of the topic, the same: hash and partitions, "murmur2,16"; "": none
	Snapshot      SnapshotRef  // the newest complete one; Count 0: none, the state at the log's beginning is empty
	Before        SnapshotRef  // the one before, used when Snapshot can not be; Count 0: none
	Books         []BookChange // since the older of the two, in order; the first one is the book at its offset
	Plans         []Plan       // blocks that may have been inserted in part, in order; at most two
}

// SnapshotRef names a snapshot on wattline.state.
type SnapshotRef struct {
	ID     uint64 // unique in the partition: NextOffset of the state and a nonce
	Offset int64  // NextOffset of the state
	At     int64  // offset of its first chunk in the state topic
	Count  int32  // chunks
	Bytes  int64
	CRC    uint32 // CRC-32C of all bytes
}

// BookChange says that readings from offset From on were rated with the book of Book (reference records below).
type BookChange struct {
	From, Book int64
}

// Plan is a block that was closed and whose rows may be in ClickHouse: offsets First to Last, inclusive.
type Plan struct {
	First, Last int64
}

// ErrMetadata marks commit metadata that no Wattline wrote.
var ErrMetadata = errors.New("commit metadata is not Wattline's")

// The words that lead a metadata text: of this version, and of the one before it, which had no Before and half as
// many books.
const (
	metadataVersion = "wattline2"
	metadataBefore  = "wattline1"
)

// Append appends the text form: fields of key=value, one blank between.
func Append(dst []byte, m *Metadata) []byte { return appendMetadata(dst, m, metadataVersion) }

func appendMetadata(dst []byte, m *Metadata, version string) []byte {
	dst = append(dst, version...)
	dst = fmt.Appendf(dst, " r=%d c=%d,%d", m.RatingVersion, m.SliceMs, m.TimeoutMs)
	if m.Partitioner != "" {
		dst = fmt.Appendf(dst, " h=%s", m.Partitioner)
	}
	for i, s := range [...]SnapshotRef{m.Snapshot, m.Before} {
		if s.Count > 0 {
			dst = fmt.Appendf(dst, " %c=%d,%d,%d,%d,%d,%d", "st"[i], s.ID, s.Offset, s.At, s.Count, s.Bytes, s.CRC)
		}
	}
	for _, b := range m.Books {
		dst = fmt.Appendf(dst, " b=%d,%d", b.From, b.Book)
	}
	for _, p := range m.Plans {
		dst = fmt.Appendf(dst, " p=%d,%d", p.First, p.Last)
	}
	return dst
}

// Parse reads what Append wrote, or the release before it, and nothing else.
func Parse(text string) (*Metadata, error) {
	fields := strings.Split(text, " ")
	if fields[0] != metadataVersion && fields[0] != metadataBefore {
		return nil, fmt.Errorf("%w: it begins with %.20q, not %q", ErrMetadata, text, metadataVersion)
	}
	m := &Metadata{}
	for _, f := range fields[1:] {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("%w: field %.40q has no value", ErrMetadata, f)
		}
		if err := m.set(key, value); err != nil {
			return nil, fmt.Errorf("%w: field %.60q: %w", ErrMetadata, f, err)
		}
	}
	if fields[0] == metadataBefore && (m.Before.Count > 0 || len(m.Books) > MaxBookChanges+1 || m.Partitioner != "") {
		return nil, fmt.Errorf("%w: %.80q has what its version has not", ErrMetadata, text)
	}
	if m.Before.Count > 0 && m.Snapshot.Count == 0 {
		return nil, fmt.Errorf("%w: %.80q names a snapshot before none", ErrMetadata, text)
	}
	if string(appendMetadata(nil, m, fields[0])) != text {
		return nil, fmt.Errorf("%w: %.80q is not in the canonical form", ErrMetadata, text)
	}
	return m, nil
}

func (m *Metadata) set(key, value string) error {
	switch key {
	case "r":
		n, err := numbers(value, 1)
		if err != nil {
			return err
		}
		m.RatingVersion = int32(n[0])
	case "c":
		n, err := numbers(value, 2)
		if err != nil {
			return err
		}
		m.SliceMs, m.TimeoutMs = n[0], n[1]
	case "h":
		hash, parts, _ := strings.Cut(value, ",")
		n, err := numbers(parts, 1)
		if err != nil {
			return err
		}
		if hash == "" || n[0] <= 0 {
			return errors.New("not a partitioner")
		}
		m.Partitioner = hash + "," + strconv.FormatInt(n[0], 10)
	case "s", "t":
		n, err := numbers(value, 6)
		if err != nil {
			return err
		}
		ref := SnapshotRef{ID: uint64(n[0]), Offset: n[1], At: n[2], Count: int32(n[3]), Bytes: n[4], CRC: uint32(n[5])}
		if key == "s" {
			m.Snapshot = ref
		} else {
			m.Before = ref
		}
	case "b":
		n, err := numbers(value, 2)
		if err != nil {
			return err
		}
		if len(m.Books) == MaxBooks {
			return errors.New("too many book changes")
		}
		m.Books = append(m.Books, BookChange{n[0], n[1]})
	case "p":
		n, err := numbers(value, 2)
		if err != nil {
			return err
		}
		if len(m.Plans) == 2 || n[1] < n[0] {
			return errors.New("not a plan")
		}
		m.Plans = append(m.Plans, Plan{n[0], n[1]})
	default:
		return errors.New("unknown key")
	}
	return nil
}

func numbers(text string, want int) ([]int64, error) {
	parts := strings.Split(text, ",")
	if len(parts) != want {
		return nil, fmt.Errorf("has %d numbers, want %d", len(parts), want)
	}
	out := make([]int64, want)
	for i, p := range parts {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}
