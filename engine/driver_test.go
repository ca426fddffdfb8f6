package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// fakeTokens makes pseudonyms with the keys it lists.
type fakeTokens []uint32

func (f fakeTokens) Has(id uint32) bool {
	return slices.Contains(f, id)
}

func (f fakeTokens) Pseudonym(id uint32, token []byte) [16]byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, id), token...))
	return [16]byte(sum[:16])
}

func pseudonymOf(key uint32, token string) rating.Pseudonym {
	return rating.Pseudonym{KeyID: key, Value: fakeTokens(nil).Pseudonym(key, []byte(token))}
}

// driven is a shard whose book has keys, tiers and contracts.
type driven struct {
	*bare
	records []ReferenceRecord
}

func tierRecord(id string, rules ...rating.TierRule) ReferenceRecord {
	return ReferenceRecord{
		TierKey: rating.TierKey{CountryCode: "NL", PartyID: "WTL", ID: id},
		Tier:    &rating.Tier{CountryCode: "NL", PartyID: "WTL", ID: id, Rules: rules},
	}
}

func contractRecord(p rating.Pseudonym, id, tier, tariff string) ReferenceRecord {
	return ReferenceRecord{Pseudonym: p, Contract: &rating.Contract{
		CountryCode: "NL", PartyID: "WTL", ID: id, Tier: tier, Tariff: rating.TariffKey{ID: tariff}, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown,
	}}
}

func tariffRecord(id string, price int64) ReferenceRecord {
	return ReferenceRecord{TariffKey: rating.TariffKey{CountryCode: "NL", PartyID: "WTL", ID: id}, Tariff: testTariff(id, price, price)}
}

// newDriven returns one with keys 2 (primary) and 1, tier member at tariff MEMBER, and contracts: A is a member, by an
// old key; B a member; C names a tariff, D a tier that are not known.
func newDriven(t testing.TB, more ...ReferenceRecord) *driven {
	t.Helper()
	d := &driven{records: append([]ReferenceRecord{
		{TokenKeys: &rating.TokenKeys{Primary: 2, IDs: []uint32{2, 1}}},
		tariffRecord("MEMBER", 200_000_000),
		tierRecord("member", rating.TierRule{Tariffs: []rating.TariffKey{{ID: "MEMBER"}}}),
		contractRecord(pseudonymOf(1, "A"), "c-a", "member", ""),
		contractRecord(pseudonymOf(2, "B"), "c-b", "member", ""),
		contractRecord(pseudonymOf(2, "C"), "c-c", "", "LATE"),
		contractRecord(pseudonymOf(2, "D"), "c-d", "late", ""),
	}, more...)}
	d.bare = newBareTokens(t, testConfig(), fakeTokens{1, 2}, d.records, "CP1")
	return d
}

// publish adds a record to the reference log and takes the new book.
func (d *driven) publish(t testing.TB, r ReferenceRecord) {
	t.Helper()
	d.w.publish(&d.refs, r)
	if err := d.ref.Follow(context.Background(), d.w, "wattline.reference"); err != nil {
		t.Fatal(err)
	}
	d.changeBook(d.ref.Next())
}

// driver is the newest version of a session: tariff, incl micros, key, contract, tier, status, flags.
func (b *bare) driver(tx string) string {
	out := ""
	for i := range b.block.Sessions {
		r := &b.block.Sessions[i]
		for j := range r.Version {
			if r.Transaction[j] == tx {
				out = fmt.Sprintf("%s %d by %d:%.6s contract %s tier %s status %d %v", strings.TrimPrefix(r.Tariff[j], "NL*WTL*"), r.Total[j].InclMicros, r.TokenKey[j],
					r.Driver(j).String(), r.Contract[j], r.Tier[j], r.Status[j], r.Flags[j].Names())
			}
		}
	}
	return out
}

// tierRows are rows, tiers and the sum of incl micros in charges.
func (b *bare) tierRows() string {
	n, incl, tiers := 0, int64(0), map[string]bool{}
	for i := range b.block.Charges {
		r := &b.block.Charges[i]
		for j := range r.Position {
			n++
			incl += r.Charge[j].InclMicros
			tiers[r.Tier[j]] = true
		}
	}
	return fmt.Sprintf("%d rows, incl %d, tiers %v", n, incl, tiers)
}

func with(token string, m message) message {
	m.Token = token
	return m
}

// ten is a session of 10 kWh in an hour of charging whose Start has a token.
func ten(token string) []message {
	return []message{with(token, startAt(minutes(0), 0, 0)), meter(minutes(30), 5*kwh, 1), stopAt(minutes(60), 10*kwh, 2)}
}

// TestDriver: who charges decides the tariff, and is in the rows by pseudonym alone.
func TestDriver(t *testing.T) {
	f := func(token, want, rows string) {
		t.Helper()
		d := newDriven(t)
		d.each(t, ten(token)...)
		if diff := cmp.Diff(want, d.driver("7")); diff != "" {
			t.Errorf("token %q: %s", token, diff)
		}
		if diff := cmp.Diff(rows, d.tierRows()); diff != "" {
			t.Errorf("token %q: %s", token, diff)
		}
	}
	short := func(key uint32, token string) string { return pseudonymOf(key, token).String()[:6] }
	f("", "T1 4840000 by 0: contract  tier  status 3 []", "10 rows, incl 4840000, tiers map[:true]")
	f("nobody", "T1 4840000 by 2:"+short(2, "nobody")+" contract  tier  status 3 []", "10 rows, incl 4840000, tiers map[:true]")
	f("B", "MEMBER 2420000 by 2:"+short(2, "B")+" contract c-b tier member status 3 []", "10 rows, incl 2420000, tiers map[member:true]")
	f("A", "MEMBER 2420000 by 1:"+short(1, "A")+" contract c-a tier member status 3 []", "10 rows, incl 2420000, tiers map[member:true]")
}

// TestHeldForContract: a session whose contract names what the book does not have is held, and priced exactly once
// when it comes, whatever else came before.
func TestHeldForContract(t *testing.T) {
	f := func(token, reason string, late ReferenceRecord, want string) {
		t.Helper()
		d := newDriven(t)
		ms := ten(token)
		d.each(t, ms[:2]...)
		d.publish(t, tariffRecord("OTHER", 100_000_000))
		for _, h := range d.held {
			if h.Reason != reason {
				t.Errorf("held for %q, want %q", h.Reason, reason)
			}
		}
		if len(d.held) != 1 || d.tierRows() != "0 rows, incl 0, tiers map[]" {
			t.Errorf("%d held, %s", len(d.held), d.tierRows())
		}
		d.publish(t, late)
		if len(d.held) != 0 {
			t.Errorf("still held: %v", d.held)
		}
		d.publish(t, late)
		d.each(t, ms[2])
		if diff := cmp.Diff(want, d.driver("7")+"; "+d.tierRows()); diff != "" {
			t.Error(diff)
		}
	}
	key := func(token string) string { return pseudonymOf(2, token).String()[:6] }
	f("C", "tariff unknown: NL*WTL*LATE of the contract", tariffRecord("LATE", 400_000_000),
		"LATE 4840000 by 2:"+key("C")+" contract c-c tier  status 3 [held]; 10 rows, incl 4840000, tiers map[:true]")
	f("D", "tier unknown: late", tierRecord("late", rating.TierRule{Tariffs: []rating.TariffKey{{ID: "MEMBER"}}}),
		"MEMBER 2420000 by 2:"+key("D")+" contract c-d tier late status 3 [held]; 10 rows, incl 2420000, tiers map[late:true]")
}

// TestLateToken: a token that comes before anything was measured counts as if it had been there from the beginning; one
// that comes later changes no price, and is told.
func TestLateToken(t *testing.T) {
	f := func(name, want, rows string, ms ...message) {
		t.Helper()
		d := newDriven(t)
		d.each(t, ms...)
		got := d.driver("7")
		got = strings.Replace(got, pseudonymOf(2, "B").String()[:6], "B", 1)
		if got = strings.Replace(got, pseudonymOf(2, "C").String()[:6], "C", 1); got != want {
			t.Errorf("%s: got  %s\nwant %s", name, got, want)
		}
		if got := d.tierRows(); got != rows {
			t.Errorf("%s: got  %s\nwant %s", name, got, rows)
		}
	}
	s := ten("")
	authorised := func(token string, at, reg int64) message { return with(token, meter(at, reg, 10)) }
	member := "MEMBER 2420000 by 2:B contract c-b tier member status 3 []"
	f("no register", member, "10 rows, incl 2420000, tiers map[member:true]", s[0], authorised("B", minutes(1), noReg), s[1], s[2])
	f("with the first that was measured", member, "10 rows, incl 2420000, tiers map[member:true]", s[0], authorised("B", minutes(1), kwh), s[1], s[2])
	f("a start without register", member, "10 rows, incl 2420000, tiers map[member:true]",
		startAt(minutes(0), noReg, 0), authorised("B", minutes(1), noReg), meter(minutes(1), 0, 11), s[1], s[2])
	f("too late", "T1 4840000 by 2:B contract c-b tier  status 3 [late_token]", "10 rows, incl 4840000, tiers map[:true]", s[0], s[1], authorised("B", minutes(31), noReg), s[2])
	f("at the stop", "T1 4840000 by 2:B contract c-b tier  status 3 [late_token]", "10 rows, incl 4840000, tiers map[:true]", s[0], s[1], with("B", s[2]))
	f("another one at the stop", member, "10 rows, incl 2420000, tiers map[member:true]", with("B", s[0]), s[1], with("nobody", s[2]))
	f("held from then on", " 0 by 2:C contract c-c tier  status 5 [held]", "0 rows, incl 0, tiers map[]", s[0], authorised("C", minutes(1), noReg), s[1], s[2])
	f("in the start's place", member, "10 rows, incl 2420000, tiers map[member:true]",
		with("B", startAt(minutes(0), 0, 0)), with("B", meter(minutes(30), 5*kwh, 1)), s[2])
}

// TestTokenOfAStartThatWaits: the token of an OCPP 1.6 Start is known when its answer comes, in another life of the shard.
func TestTokenOfAStartThatWaits(t *testing.T) {
	d := newDriven(t)
	start := with("B", startAt(minutes(0), 0, noSeq))
	start.Tx, start.MsgID = "", "m1"
	d.each(t, start)
	img := d.beginImage(&slab.ImagePools{})
	for d.stepImage(100) {
		continue
	}
	var bytes strings.Builder
	if _, _, err := snapshot.Write(&bytes, img.Parts()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(bytes.String(), "\"B\"") {
		t.Error("the token is in the snapshot")
	}
	st, err := snapshot.Decode([]byte(bytes.String()))
	if err != nil {
		t.Fatal(err)
	}
	again := newDriven(t)
	if err := again.restore(st); err != nil {
		t.Fatal(err)
	}
	again.block.reset(readings, again.nextOffset, again.bookOffset)
	again.send(t, minutes(0)+700, message{Kind: rating.KindAnswer, CP: "CP1", Tx: "7", MsgID: "m1", At: rating.Unknown, Reg: noReg, Seq: noSeq})
	again.each(t, meter(minutes(30), 5*kwh, noSeq), stopAt(minutes(60), 10*kwh, noSeq))
	want := "MEMBER 2420000 by 2:" + pseudonymOf(2, "B").String()[:6] + " contract c-b tier member status 3 []"
	if got := again.driver("7"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTokenKeysInTheLog: without keys in the book tokens are not looked at; a key that is not here stops the log.
func TestTokenKeysInTheLog(t *testing.T) {
	b := newBare(t, testConfig(), "CP1")
	b.each(t, ten("B")...)
	if got, want := b.driver("7"), "T1 4840000 by 0: contract  tier  status 3 []"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d := newDriven(t)
	book := d.ref.Next()
	d.w.publish(&d.refs, ReferenceRecord{TokenKeys: &rating.TokenKeys{Primary: 3, IDs: []uint32{3, 2, 1}}})
	err := d.ref.Follow(context.Background(), d.w, "wattline.reference")
	var halt *Halt
	if !errors.As(err, &halt) || halt.Reason != "token-key-missing" || !strings.Contains(halt.Detail, "key 3") {
		t.Errorf("a key that is missing: %v", err)
	}
	if d.ref.Next() != book {
		t.Errorf("the book went on to %d, over the record that can not be taken", d.ref.Next())
	}
}

// TestTokenIsNowhere: whatever becomes of a message with a token, neither rows, rejects, a snapshot nor what a question
// is answered has the token.
func TestTokenIsNowhere(t *testing.T) {
	const token = "04LEAKED0A1B2C"
	d := newDriven(t)
	d.each(t, ten(token)...)
	start := with(token, startAt(minutes(70), 0, noSeq))
	start.Tx, start.MsgID = "", "m1"
	held := with(token, startAt(minutes(80), 0, 0))
	held.CP, held.Tx = "CP-UNKNOWN", "8"
	late := with(token, meter(minutes(92), 0, 1))
	late.Tx, late.Conn = "9", 2
	opened := startAt(minutes(91), 0, 0)
	opened.Tx, opened.Conn = "9", 2
	d.each(t, start, held, opened, late)
	bad := with(token, meter(1, 0, 3)) // a clock that was never set
	d.send(t, minutes(93), bad)
	stop := with(token, stopAt(minutes(94), 0, 0))
	stop.CP = "CP-NOBODY"
	d.send(t, minutes(94), stop)
	long := with(token, meter(minutes(95), 0, 4))
	long.CP = strings.Repeat("x", 100)
	d.send(t, minutes(95), long)
	if len(d.block.Rejects) != 3 || len(d.held) != 1 || d.starts.Len() != 1 {
		t.Fatalf("%d rejects, %d held, %d starts: the test does not do what it says", len(d.block.Rejects), len(d.held), d.starts.Len())
	}
	everything := fmt.Sprint(d.rows())
	for _, m := range d.block.Rejects {
		everything += string(m.Key) + string(m.Value)
	}
	d.sessions.Each(func(ss *snapshot.Session) { everything += fmt.Sprintf("%+v", d.view(ss)) })
	img := d.beginImage(&slab.ImagePools{})
	for d.stepImage(100) {
		continue
	}
	var bytes strings.Builder
	if _, _, err := snapshot.Write(&bytes, img.Parts()); err != nil {
		t.Fatal(err)
	}
	if everything += bytes.String(); strings.Contains(strings.ToUpper(everything), "LEAKED") {
		t.Error("the token is in what is kept")
	}
	if p := pseudonymOf(2, token); !strings.Contains(bytes.String(), string(p.Value[:])) {
		t.Error("the pseudonym is not")
	}
}
