package contracts

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

type fake struct{}

func (fake) Pseudonym(id uint32, token []byte) [16]byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, id), token...))
	return [16]byte(sum[:16])
}

// lines reads text as a file of an ending, a line a contract.
func lines(ext, text string) (out []string, err error) {
	err = read(strings.NewReader(text), ext, func(at int, row *Row, fault error) error {
		if fault != nil {
			out = append(out, fmt.Sprintf("%d: %v", at, fault))
			return nil
		}
		out = append(out, fmt.Sprintf("%d: %s %v %s", at, row.Token, row.Gone, ocpi.AppendContractJSON(nil, &row.Contract)))
		return nil
	})
	return out, err
}

// TestRead: the same contracts in each of the forms.
func TestRead(t *testing.T) {
	a := `{"uid":"04A1","contract_id":"c1","country_code":"NL","party_id":"STR","tier":"member","type":"RFID","issuer":"x","default_profile_type":"GREEN","valid_from":"2026-01-01T00:00:00Z"}`
	b := `{"uid":"04B2","contract_id":"c2","valid":false,"tariff":"DE*STR*own"}`
	want := []string{
		`04A1 false {"contract_id":"c1","country_code":"NL","party_id":"STR","tier":"member","default_profile_type":"GREEN","valid_from":"2026-01-01T00:00:00Z"}`,
		`04B2 true {"contract_id":"c2","tariff":"DE*STR*own"}`,
	}
	f := func(ext, text string, at ...int) {
		t.Helper()
		got, err := lines(ext, text)
		var numbered []string
		for i, n := range at {
			numbered = append(numbered, fmt.Sprintf("%d: %s", n, want[i]))
		}
		if diff := cmp.Diff(numbered, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", ext, err, diff)
		}
	}
	f(".ndjson", a+"\n\n"+b+"\n", 1, 3)
	f(".jsonl", "\xef\xbb\xbf"+a+"\r\n"+b, 1, 2)
	f(".json", "["+a+","+b+"]", 1, 2)
	f(".json", `{"data":[`+a+`,`+b+`],"status_code":1000}`, 1, 2)
	f(".csv", "uid, contract_id,country_code,party_id,tier,default_profile_type,valid_from,valid,tariff\n04A1,c1,NL,STR,member,GREEN,2026-01-01T00:00:00Z,,\n04B2,c2,,,,,,false,DE*STR*own\n", 2, 3)
}

// TestReadFaults: every fault says where, and none says a token.
func TestReadFaults(t *testing.T) {
	const token = "SECRETTOKEN"
	f := func(ext, text, want string) {
		t.Helper()
		var out []string
		err := read(strings.NewReader(text), ext, func(at int, _ *Row, fault error) error {
			if fault != nil {
				out = append(out, fmt.Sprintf("%d: %v", at, fault))
			}
			return nil
		})
		got := strings.Join(out, "; ")
		if err != nil {
			got += "!" + err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, token) {
			t.Errorf("%s: %s, want %q in it", text, got, want)
		}
	}
	good := `{"uid":"` + token + `2","contract_id":"c"}`
	f(".ndjson", `{"contract_id":"c"}`, "1: uid: missing")
	f(".ndjson", good[:20]+"\n", "1: not JSON")
	f(".ndjson", `{"uid":["`+token+`"],"contract_id":"c"}`, "1: uid: a array")
	f(".ndjson", `{"uid":"`+token+`","contract_id":"c","valid_to":"soon"}`, `1: valid_to: "soon" is no RFC 3339 time`)
	f(".ndjson", `{"uid":"`+token+`"}`, "1: contract_id: missing")
	f(".ndjson", `{"uid":"`+token+`","contract_id":"c","default_profile_type":"SLOW"}`, "1: default_profile_type")
	f(".ndjson", `{"uid":"`+strings.Repeat("x", 256)+`","contract_id":"c"}`, "1: uid: 256 bytes")
	f(".ndjson", strings.Repeat("x", maxLine+1), "!line 1")
	f(".json", `"`+token+`"`, "!it is no list")
	f(".json", `{"uid":"`+token+`"}`, "!it is neither a list")
	f(".json", `[`+good+`,{"uid":"`+token, "!contract 2: not JSON")
	f(".json", `[`+good+`,`, "!")
	f(".json", `[{"uid":1,"contract_id":"c"},`+good+`]`, "1: uid: a number")
	f(".csv", "", "!line 1: no head")
	f(".csv", "uid,contract,x\n", `!line 1: there is no column "contract"`)
	f(".csv", "uid,tier\n", "!line 1: it needs the columns")
	f(".csv", "uid,contract_id\n"+token+"\n", "!line 2")
	f(".csv", "uid,contract_id\n\""+token+"\n", "!line ")
	f(".csv", "uid,contract_id,valid\n"+token+",c,maybe\n", "2: valid: neither")
	f(".yaml", "", "!a file of contracts ends in")
	stop := errors.New("enough")
	if err := read(strings.NewReader(good+"\n"+good), ".ndjson", func(int, *Row, error) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("not stopped: %v", err)
	}
}

// log is a reference log of contracts.
type log struct {
	t *testing.T
	p *Published
}

func newLog(t *testing.T, keys ...uint32) *log {
	l := &log{t, NewPublished()}
	l.keys(keys...)
	return l
}

func (l *log) keys(ids ...uint32) {
	l.put(&ocpi.Reference{Kind: ocpi.ReferenceTokens, TokenKeys: &rating.TokenKeys{Primary: ids[0], IDs: ids}})
}

func (l *log) put(r *ocpi.Reference) {
	l.t.Helper()
	key, value, err := ocpi.AppendReference(nil, nil, r)
	if err == nil {
		err = l.p.Put(key, value)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// load is a load of contracts by token and tier; it publishes, and says what.
func (l *log) load(rekey, withdraw bool, rows ...string) string {
	l.t.Helper()
	var list []Row
	for _, r := range rows {
		token, tier, _ := strings.Cut(r, ":")
		list = append(list, Row{Token: []byte(token), Gone: tier == "gone", Contract: rating.Contract{ID: "c-" + token, Tier: tier, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown}})
	}
	var out []string
	for i := range list {
		if twice := l.p.Note(fake{}, uint32(i+1), list[i].Token); twice != 0 {
			out = append(out, fmt.Sprintf("%d is %d", i+1, twice))
		}
	}
	var refs []ocpi.Reference
	for i := range list {
		refs = l.p.Difference(fake{}, &list[i], rekey, refs)
	}
	if withdraw {
		refs = append(refs, l.p.Rest()...)
	}
	for i := range refs {
		text := fmt.Sprintf("-%d", refs[i].Pseudonym.KeyID)
		if c := refs[i].Contract; c != nil {
			text = fmt.Sprintf("%d %s %s", refs[i].Pseudonym.KeyID, c.ID, c.Tier)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// again is the log read anew, as the next load does.
func (l *log) again() { l.p.seen = map[rating.Pseudonym]uint32{} }

// TestDifference: what is there is not published again, under whichever key it stands.
func TestDifference(t *testing.T) {
	f := func(name, want, got string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	l := newLog(t, 1)
	f("new", "1 c-A member, 1 c-B ", l.load(false, false, "A:member", "B"))
	l.again()
	f("the same", "", l.load(false, false, "A:member", "B"))
	l.again()
	f("changed, and one is left out", "1 c-A gold", l.load(false, false, "A:gold"))
	l.again()
	f("twice", "2 is 1", l.load(false, false, "A:gold", "A:gold"))
	l.keys(2, 1)
	l.again()
	f("under the old key", "", l.load(false, false, "A:gold", "B"))
	l.again()
	f("left out, under the old key", "-1", l.load(false, true, "A:gold"))
	l.again()
	f("changed under the old key", "2 c-A member, -1", l.load(false, false, "A:member"))
	l.again()
	f("not valid any more", "-2", l.load(false, false, "A:gone"))
	l.again()
	f("still not", "", l.load(false, true, "A:gone"))
	l.put(&ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: rating.Pseudonym{KeyID: 1, Value: fake{}.Pseudonym(1, []byte("C"))}, Contract: &rating.Contract{ID: "c-C", ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown}})
	l.again()
	f("a new key for all", "2 c-C , -1", l.load(true, false, "C"))
	if l.p.Live() != 1 {
		t.Errorf("%d contracts", l.p.Live())
	}
}

// TestPublishedAsWritten: a value that another writer made is read, too.
func TestPublishedAsWritten(t *testing.T) {
	l := newLog(t, 7)
	x := rating.Pseudonym{KeyID: 7, Value: [16]byte{1}}
	key := fmt.Appendf(nil, "contract/7/%s", x)
	head := "\x01" + `{"kind":"contract","by":"a,\"contract\":{","at":"2026-01-01T00:00:00.000Z",`
	if err := l.p.Put(key, []byte(head+`"contract": {"party_id":"X","contract_id":"c"}}`)); err != nil {
		t.Fatal(err)
	}
	other := l.p.now[x]
	if err := l.p.Put(key, []byte(head+`"contract":{"contract_id":"c","party_id":"X"}}`)); err != nil || l.p.now[x] != other {
		t.Errorf("%v; the hash of the same contract differs", err)
	}
	if err := l.p.Put(key, []byte(head)); err == nil {
		t.Error("half a value is taken")
	}
	if err := l.p.Put([]byte("tariff/x"), []byte("anything")); err != nil {
		t.Errorf("another kind: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{`[{"uid":"a","contract_id":"c"}]`, "uid,contract_id\na,b\n", `{"uid":"a","contract_id":"c"}` + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, ext := range Extensions() {
			_ = read(strings.NewReader(text), ext, func(_ int, row *Row, fault error) error {
				if (row == nil) == (fault == nil) {
					t.Fatal("neither a contract nor a fault, or both")
				}
				if row != nil && !row.Gone {
					r := ocpi.Reference{Kind: ocpi.ReferenceContract, Pseudonym: rating.Pseudonym{KeyID: 1}, Contract: &row.Contract}
					if _, _, err := ocpi.AppendReference(nil, nil, &r); err != nil {
						t.Fatalf("taken, and not written: %v", err)
					}
				}
				return nil
			})
		}
	})
}
