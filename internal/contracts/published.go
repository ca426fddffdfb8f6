package contracts

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// Tokens makes pseudonyms: internal/pseudonym's Keyring.
type Tokens interface {
	Pseudonym(keyID uint32, token []byte) [16]byte
}

// Published is what the reference log says of contracts, by hashes: what is the same is not published again.
type Published struct {
	Keys *rating.TokenKeys // that hold now; nil: none yet

	now  map[rating.Pseudonym]uint64 // hash of the contract's object; 0: withdrawn
	seen map[rating.Pseudonym]uint32 // of the files, by the first key: number of the row, from 1
	live int
}

// NewPublished returns what an empty log says.
func NewPublished() *Published {
	return &Published{now: map[rating.Pseudonym]uint64{}, seen: map[rating.Pseudonym]uint32{}}
}

// Live is how many contracts there are.
func (p *Published) Live() int { return p.live }

const contractPrefix = "contract/"

// Put takes a record of the reference log; those of other kinds but contracts and keys are skipped. Errors: those of
// ocpi.DecodeReference.
func (p *Published) Put(key, value []byte) error {
	contract := bytes.HasPrefix(key, []byte(contractPrefix))
	if !contract && string(key) != string(ocpi.ReferenceTokens) {
		return nil
	}
	if object, ok := objectOf(value); contract && ok {
		r, err := ocpi.DecodeReference(key, nil) // the key alone: a million values would be a minute
		if err != nil {
			return err
		}
		p.set(r.Pseudonym, hashOf(object))
		return nil
	}
	r, err := ocpi.DecodeReference(key, value)
	switch {
	case err != nil:
		return err
	case r.TokenKeys != nil:
		p.Keys = r.TokenKeys
	case r.Contract != nil:
		p.set(r.Pseudonym, hashOf(ocpi.AppendContractJSON(nil, r.Contract)))
	default:
		p.set(r.Pseudonym, 0)
	}
	return nil
}

func (p *Published) set(x rating.Pseudonym, hash uint64) {
	if p.now[x] != 0 {
		p.live--
	}
	if hash != 0 {
		p.live++
	}
	p.now[x] = hash
}

// objectOf cuts the contract out of a value as this program writes it.
func objectOf(value []byte) ([]byte, bool) {
	const before = `,"contract":{`
	at := bytes.Index(value, []byte(before)) // within a text a quote has a backslash in front
	if at < 0 || value[0] != ocpi.ReferenceVersion || !bytes.HasSuffix(value, []byte("}}")) {
		return nil, false
	}
	return value[at+len(before)-1 : len(value)-1], true
}

func hashOf(object []byte) uint64 {
	return max(1, xxhash.Sum64(object)) // 0 is withdrawn
}

// Pseudonyms are those of a token, in the order of the keys that hold.
func (p *Published) pseudonyms(t Tokens, token []byte, keys []uint32) []rating.Pseudonym {
	list := make([]rating.Pseudonym, len(keys))
	for i, id := range keys {
		list[i] = rating.Pseudonym{KeyID: id, Value: t.Pseudonym(id, token)}
	}
	return list
}

// Note takes row number n, from 1, of all files, before anything is published. twice is the number of an earlier row
// with the same token, 0 if there is none. Keys is set.
func (p *Published) Note(t Tokens, n uint32, token []byte) (twice uint32) {
	first := rating.Pseudonym{KeyID: p.Keys.Primary, Value: t.Pseudonym(p.Keys.Primary, token)}
	if was, ok := p.seen[first]; ok {
		return was
	}
	p.seen[first] = n
	return 0
}

// Difference appends the records that make the log say what row says; none if it does. A contract that stands under an
// older key stays there as long as nothing changes, unless rekey; else it moves to the first key.
func (p *Published) Difference(t Tokens, row *Row, rekey bool, dst []ocpi.Reference) []ocpi.Reference {
	want := uint64(0)
	if !row.Gone {
		want = hashOf(ocpi.AppendContractJSON(nil, &row.Contract))
	}
	names := p.pseudonyms(t, row.Token, p.Keys.IDs)
	at := slices.IndexFunc(names, func(x rating.Pseudonym) bool { return p.now[x] != 0 })
	old := names[min(1, len(names)):]
	if want == 0 {
		old = names
	} else {
		if at >= 0 && p.now[names[at]] == want && (at == 0 || !rekey) {
			p.now[names[at]] = want
			p.seen[names[at]] = 0 // is wanted where it is
			return dst
		}
		c := row.Contract
		dst = append(dst, ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: names[0], Contract: &c})
		p.set(names[0], want)
	}
	for _, x := range old {
		if p.now[x] != 0 {
			dst = append(dst, ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: x})
			p.set(x, 0)
		}
	}
	return dst
}

// Rest are the withdrawals of all contracts that no row had, in order of their pseudonyms. All rows went through Note and
// Difference.
func (p *Published) Rest() []ocpi.Reference {
	var list []ocpi.Reference
	for x, hash := range maps.All(p.now) {
		if _, wanted := p.seen[x]; hash != 0 && !wanted {
			list = append(list, ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: x})
		}
	}
	slices.SortFunc(list, func(a, b ocpi.Reference) int { return strings.Compare(name(a.Pseudonym), name(b.Pseudonym)) })
	for i := range list {
		p.set(list[i].Pseudonym, 0)
	}
	return list
}

func name(p rating.Pseudonym) string { return fmt.Sprintf("%010d/%s", p.KeyID, p) }
