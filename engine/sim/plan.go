package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// FaultKind is a way in which the world is unkind.
type FaultKind uint8

// The kinds up to lastEvent happen to an engine or to the world as a whole, at their step. The others lie in wait, from
// their step on, for the first call that they can spoil.
const (
	Crash     FaultKind = iota // an engine is gone; N ms later a new life of it starts
	Stop                       // an engine is asked to stop (SIGTERM); N ms later a new life starts
	Pause                      // an engine stands still for N ms and then goes on as if nothing had been (SIGSTOP)
	Cut                        // an engine does not reach the group for N ms, but everything else
	Twin                       // a second process with the same instance id starts while the first stands still for N ms
	Rebalance                  // partitions move; N shuffles
	Join                       // an engine that is not running starts, if there is one
	StoreDown                  // the store refuses everything for N ms
	StoreFull                  // the store notes tokens, but has no room for rows, for N ms
	StoreSlow                  // every insert takes up to N ms
	KafkaDown                  // producing and reading logs fails for N ms
	Compact                    // the state topic is compacted
	ChunkLost                  // a chunk of the newest snapshot is gone; N picks it
	ChunkTorn                  // a chunk of the newest snapshot has a bit flipped or lost its end; N picks

	InsertRefused  // an insert fails before it did anything
	InsertLostAck  // it is done, and fails
	InsertVain     // its token is noted, its rows are not there, and it fails
	InsertLate     // it fails, and goes on running
	InsertDelayed  // it fails, and reaches the store later
	ReadBackFails  // a read-back fails
	QuiesceFails   // a quiesce fails, having done nothing
	LedgerFails    // the look for the last block fails
	CommitFails    // a commit fails and is not stored
	CommitLostAck  // a commit fails and is stored
	CommittedFails // the look for the commit fails
	ProduceRefused // messages are not produced
	ProduceLostAck // they are, and it fails
	ProduceLate    // it fails, and they come later
	ReadLogFails   // reading a log ends half-way
	BoundsFails    // the look for a log's ends fails
	OpenFails      // a partition can not be opened
	FeedFails      // a feed ends with an error
	CallSlow       // an answer takes N ms
	StandStill     // an engine stands still in the middle of a call; N picks the call and how long
	BatchFails     // a batch can not be read
)

const (
	lastEvent = ChunkTorn
	kinds     = int(BatchFails) + 1
)

// kindNames are the kinds' texts, in their order.
func kindNames() []string {
	return []string{
		"crash", "stop", "pause", "cut off", "twin", "rebalance", "join", "store down", "store full", "store slow", "kafka down",
		"compaction", "chunk lost", "chunk torn",
		"insert refused", "insert done, ack lost", "token without rows", "insert goes on after its error", "insert comes after its error", "read-back fails", "quiesce fails",
		"last block fails", "commit fails", "commit done, ack lost", "committed fails", "produce refused",
		"produce done, ack lost", "produced later", "log read half-way", "bounds fail", "open fails", "feed fails", "slow answer", "stands still in a call", "batch unreadable",
	}
}

func (k FaultKind) String() string { return kindNames()[k] }

// Fault is one unkindness.
type Fault struct {
	At     int // step from which on it may happen
	Kind   FaultKind
	Engine int   // of what happens to an engine: which one, modulo their number
	N      int64 // see the kinds
}

func (f Fault) String() string {
	if f.Kind <= Join {
		return fmt.Sprintf("from step %d: %s, engine %d, %d", f.At, f.Kind, f.Engine, f.N)
	}
	return fmt.Sprintf("from step %d: %s, %d", f.At, f.Kind, f.N)
}

// Plan is everything that a run depends on.
type Plan struct {
	Seed       uint64
	Partitions int
	Engines    int // how many there can be
	Running    int // how many start at once
	Chargers   int
	Messages   int           // of the input, at most
	Span       time.Duration // in which they come
	Batch      int           // records of a batch, at most
	Lazy       int           // of 100 steps, how many let the clock go on though something could happen
	Session    time.Duration // after which the group gives up a member it does not hear of
	Faults     []Fault
}

// NewPlan makes the plan of a seed. Each seed has some kinds of faults and not others, few or many: a world in which
// everything fails always is one in which little is reached.
func NewPlan(seed uint64) Plan {
	rnd := rand.New(rand.NewPCG(seed, 0))
	p := Plan{
		Seed: seed, Partitions: 1 + rnd.IntN(3), Engines: 1 + rnd.IntN(3), Chargers: 3 + rnd.IntN(5), Messages: 150 + rnd.IntN(350),
		Span: time.Duration(5+rnd.IntN(40)) * time.Second, Batch: 1 + rnd.IntN(60), Lazy: 2 + rnd.IntN(20),
		Session: time.Duration(2+rnd.IntN(10)) * time.Second,
	}
	p.Running = 1 + rnd.IntN(p.Engines)
	var enabled []FaultKind
	for k := range kinds {
		if rnd.IntN(2) == 0 {
			enabled = append(enabled, FaultKind(k))
		}
	}
	if len(enabled) == 0 {
		enabled = append(enabled, Crash)
	}
	n := 1 + rnd.IntN(8)*rnd.IntN(8)
	last := 100 + rnd.IntN(1400)
	for range n {
		f := Fault{At: rnd.IntN(last), Kind: enabled[rnd.IntN(len(enabled))], Engine: rnd.IntN(p.Engines)}
		f.N = amount(rnd, f.Kind)
		p.Faults = append(p.Faults, f)
	}
	p.sort()
	return p
}

// amount is N of a fault: mostly seconds, now and then longer than a plan is good for.
func amount(rnd *rand.Rand, k FaultKind) int64 {
	switch k {
	case Crash, Stop, Join:
		return rnd.Int64N(4_000)
	case Pause, Cut, Twin, CallSlow:
		if rnd.IntN(6) == 0 {
			return 11 * 60_000
		}
		return rnd.Int64N(20_000)
	case StoreDown, StoreFull, StoreSlow, KafkaDown:
		if rnd.IntN(20) == 0 {
			return 11 * 60_000
		}
		return rnd.Int64N(10_000)
	}
	return rnd.Int64N(1 << 30)
}

func (p *Plan) sort() {
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return a.At - b.At })
}
