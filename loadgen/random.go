package loadgen

import "math/bits"

// What a random number is for. Different uses of one connector and session must not see the same numbers.
const (
	forSession uint64 = iota + 1
	forConnector
	forStation
	forDuplicate
	forDisorder
	forID
	forDriver
)

// random is a splitmix64 sequence (Steele, Lea, Flood 2014): a pure function of what it was made of.
type random uint64

// randomOf begins the sequence of one use of one thing.
func randomOf(seed, use uint64, what, which int64) random {
	return random(mix(mix(mix(seed+use)+uint64(what)) + uint64(which)))
}

// mix is the output function of splitmix64; a bijection.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) next() uint64 {
	v := mix(uint64(*r))
	*r += 0x9e3779b97f4a7c15
	return v
}

// below is uniform in [0, n), 0 for n < 1. Its bias is below n / 2^64.
func (r *random) below(n int64) int64 {
	v := r.next()
	if n < 1 {
		return 0
	}
	hi, _ := bits.Mul64(v, uint64(n))
	return int64(hi)
}

// between is uniform in [low, high].
func (r *random) between(low, high int64) int64 { return low + r.below(high-low+1) }

// skewed lies in [low, high], small values far more often than large ones: stays and needs are like that.
func (r *random) skewed(low, high int64) int64 { return low + r.below(r.below(high-low+1)+1) }

// percent is true p times in a hundred.
func (r *random) percent(p int64) bool { return r.below(100) < p }

// happens says whether something of that many in a million happens to a reading.
func happens(seed, use uint64, connector, session, seq, perMillion int32) bool {
	if perMillion == 0 {
		return false
	}
	hi, _ := bits.Mul64(mix(mix(seed+use)+uint64(connector)<<40+uint64(session)<<20+uint64(seq)), 1_000_000)
	return hi < uint64(perMillion)
}
