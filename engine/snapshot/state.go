package snapshot

import (
	"cmp"

	"github.com/wattline/wattline/rating"
)

// Key is the identity of a session: the keyed 128-bit hash of charge point, connector and transaction
// (docs/formats/identity.md). The zero Key is no session.
type Key [2]uint64

// Less orders keys.
func (k Key) Less(o Key) bool { return k[0] < o[0] || k[0] == o[0] && k[1] < o[1] }

// Compare orders keys for a sort.
func (k Key) Compare(o Key) int { return cmp.Or(cmp.Compare(k[0], o[0]), cmp.Compare(k[1], o[1])) }

// MaxTransaction is the longest transaction id, bytes (OCPP 2.0.1 IdentifierString of 36).
const MaxTransaction = 36

// Pending register values of a Session.
const (
	PendNone uint8 = iota
	PendLow        // a register below the accepted one: glitch or reset, the next reading tells
)

// Session is what the shard keeps of a running (or held, or provisionally closed) session. It has no pointer,
// so a slab of millions costs the garbage collector nothing.
//
// The first two cache lines are all that a quiet reading touches: Key to Mark, and the beginning of Rate. Its
// size is a multiple of a line, so that this is so for every session of a slab.
type Session struct {
	Key Key

	LastSeq      int64  // greatest sequence number seen; rating.Unknown before the first
	SeqBits      uint64 // bit i: LastSeq-1-i was seen
	RegOffsetMwh int64  // added to the raw register after proven resets
	LastRecordMs int64  // Kafka timestamp of its last message: the time-out counts from here
	Plan         uint32 // index in Plans; 0: unknown, the session is held
	Flags        uint32
	Readings     uint32
	Status       uint8
	Pend         uint8
	HasChanges   bool  // State.Changes has some of it; not encoded
	Mark         uint8 // of the shard, for the image that it makes; not encoded

	Rate rating.State

	PendMs      int64 // the waiting low reading, raw register
	PendMwh     int64
	PendPower   int64 // microwatt
	PendCurrent int64 // nanoampere
	EndMs       int64 // a Transaction.End value that waits for the Stop; rating.Unknown if none
	EndMwh      int64 // raw

	FirstOffset int64 // of the message that opened the session
	Version     int64 // source position of its last row in `sessions`
	Lines       int64 // rows in `charges` at position Version so far: the next row's line
	RowsExcl    int64 // sum of its rows in `charges`, micros
	RowsIncl    int64

	ChargePoint uint32 // index in Names
	Place       uint32 // index in Places; 0: unknown, the session is held
	Window      uint32 // index in Windows + 1; 0: has none (its protocol has sequence numbers)
	Sheet       uint32 // index in Sheets + 1; 0: it has no rows yet
	Connector   int32
	Driver      Driver
	PendState   uint8
	TxLen       uint8
	Tx          [MaxTransaction]byte
	Told        uint32 // record second of the last price that was told; not encoded
	_           [10]byte
}

// Driver is what a session keeps of who charges.
type Driver struct {
	KeyID       uint32 // of the key that made Value; 0: no token is known, and the rest is empty
	Tier        uint32 // index in Tiers; 0: none
	Value       [16]byte
	ContractLen uint8
	ContractID  [rating.MaxContractID]byte
}

// Pseudonym is that of the token.
func (d *Driver) Pseudonym() rating.Pseudonym {
	return rating.Pseudonym{KeyID: d.KeyID, Value: d.Value}
}

// Set notes the pseudonym of a token.
func (d *Driver) Set(p rating.Pseudonym) { d.KeyID, d.Value = p.KeyID, p.Value }

// Contract returns the bytes of the contract's id, valid as long as d is; none when it has no contract.
func (d *Driver) Contract() []byte { return d.ContractID[:d.ContractLen] }

// SetContract notes the id of a contract.
func (d *Driver) SetContract(id string) {
	d.ContractID = [rating.MaxContractID]byte{}
	d.ContractLen = uint8(copy(d.ContractID[:], id))
}

// Transaction returns the id's bytes, valid as long as s is.
func (s *Session) Transaction() []byte { return s.Tx[:s.TxLen] }

// Priced says that the session's pricing has begun: it has a plan and a first register value.
func (s *Session) Priced() bool { return s.Plan != 0 && s.Rate.LastMwh != rating.Unknown }

// NoteSeq returns whether seq is new within the window of the last 64. What lies below the window counts as new:
// it is late, and its time tells what becomes of it.
func (s *Session) NoteSeq(seq int64) bool {
	if s.LastSeq == rating.Unknown {
		s.LastSeq = seq
		return true
	}
	d := seq - s.LastSeq
	if d > 0 {
		if d >= 64 {
			s.SeqBits = 0
			if d == 64 {
				s.SeqBits = 1 << 63
			}
		} else {
			s.SeqBits = s.SeqBits<<d | 1<<(d-1)
		}
		s.LastSeq = seq
		return true
	}
	if d == 0 {
		return false
	}
	if d < -64 {
		return true
	}
	bit := uint64(1) << (-d - 1)
	if s.SeqBits&bit != 0 {
		return false
	}
	s.SeqBits |= bit
	return true
}

// Window holds fingerprints of the last 64 messages of a session whose protocol has no sequence numbers.
type Window struct {
	Seen [64]uint32
	Next uint32
}

// Note returns whether the fingerprint f is new, and takes it in.
func (w *Window) Note(f uint32) bool {
	for _, v := range w.Seen {
		if v == f {
			return false
		}
	}
	w.Seen[w.Next%uint32(len(w.Seen))] = f
	w.Next++
	return true
}

// Connector is what the shard keeps of one connector of a charge point, beyond its sessions.
type Connector struct {
	ChargePoint uint32 // index in Names
	Number      int32
	Next        uint32 // next connector of the same charge point, index + 1; 0 ends the chain
	Status      uint8  // rating.ChargeState of the last status message
	StatusMs    int64  // when it was sent; rating.Unknown if never
	Live        Key    // the running session, zero if none
	Ended       Key    // the last session that ended
	EndedFromMs int64  // when it began: what was measured before is of a session that is over
	EndedMs     int64
}

// Start is an OCPP 1.6 StartTransaction that waits for its answer, which names the transaction.
type Start struct {
	Connector   uint32 // index in Connectors
	AtMs        int64
	RegisterMwh int64 // raw; rating.Unknown if none
	RecordMs    int64
	Offset      int64
	MessageID   [MaxTransaction]byte
	MessageLen  uint8
	State       uint8
	Flags       uint32
	KeyID       uint32 // of Pseudonym; 0: it had no token
	Pseudonym   [16]byte
}

// Place is where a session is charged, as of one version of its location.
type Place struct {
	Offset    int64 // of the location's version in the reference log
	UID       string
	Connector string // OCPI connector id
}

// Plan names a version of a tariff in a zone.
type Plan struct {
	CountryCode, PartyID, ID string
	Offset                   int64 // of the tariff's version in the reference log
	Zone                     string
}

// Held is what a session without charger or tariff keeps until they come: its cleaned readings.
type Held struct {
	Key     Key
	Reason  string
	Points  []rating.Point
	Changes []rating.Change // all of them, in order of time
	Trimmed bool            // had more readings than are kept
	Ended   bool            // the last Point is the end
	// Provisional: it ended by time-out.
	Provisional bool
}

// Changes are the state changes of a session since its last register value.
type Changes struct {
	Key  Key
	List []rating.Change
}

// State is everything that a shard carries from one reading to the next, in the order of its encoding.
type State struct {
	Topic         string
	Partition     int32
	NextOffset    int64 // the first offset whose effect is not in the state
	WatermarkMs   int64
	TickMinute    int64 // the last minute of the watermark whose time-outs were handled
	BookOffset    int64
	RatingVersion int32

	Names      []string // charge points; index 0 is unused
	Places     []Place  // index 0 is unused
	Plans      []Plan   // index 0 is unused
	Tiers      []string // index 0 is unused
	Sessions   []Session
	Windows    []Window
	Sheets     []Sheet     // in the order of their sessions
	Periods    []Period    // of all sheets, in their order
	Connectors []Connector // index 0 is unused
	Starts     []Start
	Held       []Held
	Changes    []Changes
}

// Parts is a State whose long lists lie elsewhere: they are asked for one by one, in order, once. Sessions, Windows,
// Sheets, Periods and Connectors of the State itself are not looked at.
type Parts struct {
	State         State
	NumSessions   int
	Session       func(i int) *Session
	NumWindows    int
	Window        func(i int) *Window
	NumSheets     int
	Sheet         func(i int) *Sheet
	NumPeriods    int
	Period        func(i int) *Period
	NumConnectors int
	Connector     func(i int) *Connector
}
