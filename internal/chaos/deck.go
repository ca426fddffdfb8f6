package chaos

import (
	"math/rand/v2"
	"time"
)

// kind is a kind of fault.
type kind string

// The kinds. Their names are what is printed and counted.
const (
	killEngine       kind = "kill engine"
	killStore        kind = "kill store"
	killStoreRename  kind = "kill store at a rename"
	killBroker       kind = "kill broker"
	killAllBrokers   kind = "kill all brokers"
	killLoad         kind = "kill load"
	killEngineStore  kind = "kill engine and store together"
	restartEngine    kind = "SIGTERM engine"
	freezeEngine     kind = "freeze engine" // a zombie when it wakes
	freezeStore      kind = "freeze store"
	freezeBroker     kind = "freeze broker"
	badNet           kind = "network"
	fullStore        kind = "store's disk full"
	fullBroker       kind = "broker's disk full"
	renameNoSpace    kind = "ENOSPC at a rename"
	rebalanceStorm   kind = "rebalance storm"
	killFrozenEngine kind = "kill frozen engine"
)

// weights is how often each kind lies in the deck. In 100 cards about 70 have a kill.
func weights(brokers int) map[kind]int {
	w := map[kind]int{
		killEngine: 34, killStore: 7, killStoreRename: 7, killBroker: 7, killLoad: 4, killEngineStore: 5, restartEngine: 5,
		freezeEngine: 5, freezeStore: 3, freezeBroker: 2, badNet: 12, fullStore: 2, fullBroker: 1, renameNoSpace: 3, rebalanceStorm: 2,
		killFrozenEngine: 2,
	}
	if brokers > 1 {
		w[killAllBrokers] = 1
	}
	return w
}

// kinds lists all of them in one order (X1: no map order decides anything).
func kinds() []kind {
	return []kind{
		killEngine, killStore, killStoreRename, killBroker, killAllBrokers, killLoad, killEngineStore, restartEngine, freezeEngine,
		freezeStore, freezeBroker, badNet, fullStore, fullBroker, renameNoSpace, rebalanceStorm, killFrozenEngine,
	}
}

// card is a fault to come. All that is random in it was drawn beforehand.
type card struct {
	number int
	kind   kind
	wait   time.Duration // after the one before
	victim int           // counted from the first that may be had, cyclic
	long   time.Duration // of what lasts
	back   time.Duration // from a kill to the start
	rename int64         // at which one
	action int
	toxic  toxic
	times  int // of a storm
	broken bool
}

// deck gives the faults of a world, in the order that the seed wants.
type deck struct {
	r       *rand.Rand
	every   time.Duration
	brokers int
	cards   []kind
	number  int
}

func newDeck(seed uint64, every time.Duration, brokers int) *deck {
	return &deck{r: rand.New(rand.NewPCG(seed, uint64(brokers))), every: every, brokers: brokers}
}

// next draws a card. Each kind comes once before any comes by its weight, so that a short run has all of them.
func (d *deck) next() card {
	if len(d.cards) == 0 {
		w := weights(d.brokers)
		var once, rest []kind
		for _, k := range kinds() {
			for i := range w[k] {
				if i == 0 && d.number == 0 {
					once = append(once, k)
				} else {
					rest = append(rest, k)
				}
			}
		}
		shuffle := func(list []kind) {
			d.r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		shuffle(once)
		shuffle(rest)
		d.cards = append(once, rest...)
	}
	c := card{number: d.number, kind: d.cards[0]}
	d.cards = d.cards[1:]
	d.number++
	c.wait = min(time.Duration(d.r.ExpFloat64()*float64(d.every)), 4*d.every)
	c.victim = d.r.IntN(1 << 16)
	c.long = d.between(500*time.Millisecond, 6*time.Second)
	c.back = d.between(0, 2*time.Second)
	c.rename = 1 + d.r.Int64N(12)
	c.action = atRenameKill
	if d.r.IntN(3) == 0 {
		c.action = atRenameKillAfter
	}
	c.toxic = d.toxic()
	c.times = 2 + d.r.IntN(3)
	c.broken = d.r.IntN(2) == 0
	switch c.kind {
	case freezeEngine, killFrozenEngine:
		c.long = sessionTimeout + d.between(500*time.Millisecond, 4*time.Second)
	case freezeBroker:
		c.long = d.between(500*time.Millisecond, 4*time.Second)
	case fullBroker:
		c.long = d.between(3*time.Second, 10*time.Second)
	case badNet:
		c.long = d.between(time.Second, 8*time.Second)
	}
	return c
}

func (d *deck) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.r.Int64N(int64(high-low)))
}

// toxic draws a fault of the network.
func (d *deck) toxic() toxic {
	t := toxic{stream: []string{"upstream", "downstream"}[d.r.IntN(2)]}
	n := func(low, high int64) int64 { return low + d.r.Int64N(high-low) }
	switch d.r.IntN(8) {
	case 0:
		t.name = "refused"
	case 1:
		t.name, t.kind, t.attributes = "latency", "latency", map[string]int64{"latency": n(50, 1500), "jitter": n(0, 500)}
	case 2:
		t.name, t.kind, t.cuts, t.attributes = "reset", "reset_peer", true, map[string]int64{"timeout": n(0, 1000)}
	case 3:
		t.name, t.kind, t.cuts, t.attributes = "silence", "timeout", true, map[string]int64{"timeout": 0}
	case 4:
		t.name, t.kind, t.cuts, t.attributes = "silence, then cut", "timeout", true, map[string]int64{"timeout": n(100, 3000)}
	case 5:
		t.name, t.kind, t.attributes = "narrow", "bandwidth", map[string]int64{"rate": n(5, 200)} // KB/s
	case 6:
		t.name, t.kind, t.attributes = "in slices", "slicer", map[string]int64{"average_size": n(20, 2000), "size_variation": 10, "delay": n(10, 2000)} // µs
	default:
		t.name, t.kind, t.cuts, t.attributes = "cut after some bytes", "limit_data", true, map[string]int64{"bytes": n(1, 200_000)}
	}
	return t
}
