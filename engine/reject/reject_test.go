package reject

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var at = Coordinates{Topic: "wattline.readings", Partition: 3, Offset: 1234, Index: 7}

// TestGolden holds the bytes of docs/formats/rejects.md.
func TestGolden(t *testing.T) {
	f := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", what, got, want)
		}
	}
	f("key", string(at.AppendKey(nil)), "wattline.readings/3/1234/7")
	value := at.AppendValue(nil, 1_750_000_000_000, "a\\\n\x7f\x00é\xff€")
	const head = `{"v":2,"topic":"wattline.readings","partition":3,"offset":1234,"index":7,`
	const open = head + `"at_ms":1750000000000,"reason":"a\\\u000a\u007f\u0000é` + "\ufffd€" + `"`
	f("clear part", string(value), open+"}")
	f("sealed", string(AppendSealed(nil, value, "0a1b2c3d", []byte("\x01\x02\xff"))), open+`,"key_id":"0a1b2c3d","sealed":"AQL/"}`)
	retry := at.AppendRetry(nil, &Retry{By: `me@"here"`, AtMs: 1_750_000_000_001, Topic: "wattline.readings", Partition: 3, Offset: 99})
	f("retry", string(retry), head+`"retried":{"by":"me@\"here\"","at_ms":1750000000001,"topic":"wattline.readings","partition":3,"offset":99}}`)
	f("original", hex.EncodeToString(AppendOriginal(nil, "why", []byte("text/xml"), nil, []byte("<a/>"))), "0104776879"+"09746578742f786d6c"+"00"+"04"+"053c612f3e")
}

func TestParse(t *testing.T) {
	value := at.AppendValue(nil, 5, "why")
	f := func(value []byte, want Record) {
		t.Helper()
		got, err := Parse(value)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", value, err, d)
		}
	}
	f(value, Record{Coordinates: at, AtMs: 5, Reason: "why"})
	f(AppendSealed(nil, value, "k", []byte("sealed")), Record{Coordinates: at, AtMs: 5, Reason: "why", KeyID: "k", Sealed: []byte("sealed")})
	f([]byte(`{"v":1,"topic":"t","partition":0,"offset":0,"index":0,"reason":"r"}`), Record{Coordinates: Coordinates{Topic: "t"}, Reason: "r"})
	r := Retry{By: "a@b", AtMs: 1, Topic: "t", Partition: 2, Offset: 3}
	f(at.AppendRetry(nil, &r), Record{Coordinates: at, Retried: &r})
	for _, bad := range []string{``, `{}`, `[]`, `{"v":3,"topic":"t"}`, `{"v":2}`, `{"v":2,"topic":"t","offset":-1}`, `{"v":2,"topic":"t","sealed":"?"}`} {
		if r, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s is taken: %+v", bad, r)
		}
	}
}

func TestOriginal(t *testing.T) {
	f := func(reason string, contentType, key, value []byte) {
		t.Helper()
		b := AppendOriginal([]byte("x"), reason, contentType, key, value)[1:]
		got, err := ParseOriginal(b)
		want := Original{Reason: reason, ContentType: contentType, Key: key, Value: value, Size: len(value)}
		if len(value) > MaxValue {
			want.Value = nil
		}
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
		for n := range min(len(b), 40) {
			if _, err := ParseOriginal(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are taken", n, len(b))
			}
		}
	}
	f("", nil, nil, nil)
	f("why", []byte("text/xml"), []byte("CP1"), []byte("<a/>"))
	f("why", []byte{}, []byte{}, []byte{})
	f("large", nil, nil, bytes.Repeat([]byte("v"), MaxValue))
	f("too large", nil, []byte("k"), bytes.Repeat([]byte("v"), MaxValue+1))
}

// TestClean: J2, and what is of use stays.
func TestClean(t *testing.T) {
	f := func(reason string, ofDecoder bool, want string) {
		t.Helper()
		if got := Clean(reason, ofDecoder); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", reason, got, want)
		}
	}
	f(`content-type "text/xml" is unknown`, false, `content-type "text/xml" is unknown`)
	f(`time 0 ms is before 2010 or more than 24 h ahead of its record at 1750000600000 ms`, false, `time 0 ms is before 2010 or more than 24 h ahead of its record at 1750000600000 ms`)
	f(`register of 4111111111111111 mWh is out of range`, false, `register of ... mWh is out of range`)
	f(`register of 4111111111111112 mWh is out of range`, false, `register of 4111111111111112 mWh is out of range`)
	f(`ocpp: charger "CP1": payload.transactionId: "4111 1111 1111 1111" is not a whole number`, true, `ocpp: charger "...": payload.transactionId: "..." is not a whole number`)
	f(`json: [2].seq: 1234567 is out of range: 0 to 999999`, true, `json: [2].seq: ... is out of range: 0 to 999999`)
	f(`a "say \"04A2B3\" twice" b`, true, `a "..." b`)
	f(`found "`, true, `found "..."`)
	f(`found "\`, true, `found "..."`)
	f("5555555555554444", false, "...")
	f("378282246310005 and 6011111111111117", false, "... and ...")
}

// FuzzParse: no bytes make it panic, and what was read is read again from what is written.
func FuzzParse(f *testing.F) {
	value := at.AppendValue(nil, 5, "why")
	f.Add(value)
	f.Add(AppendSealed(nil, value, "k", []byte("sealed")))
	f.Add(at.AppendRetry(nil, &Retry{By: "a"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil || r.Retried != nil || len(r.Reason) > maxReason {
			return
		}
		again := r.AppendValue(nil, r.AtMs, r.Reason)
		if r.KeyID != "" || len(r.Sealed) > 0 {
			again = AppendSealed(nil, again, r.KeyID, r.Sealed)
		}
		if !json.Valid(again) {
			t.Fatalf("no JSON: %s", again)
		}
		if got, err := Parse(again); err != nil || got.Reason != r.Reason || got.Coordinates != r.Coordinates || !bytes.Equal(got.Sealed, r.Sealed) {
			t.Errorf("%+v\n%+v\n%v", r, got, err)
		}
	})
}

// FuzzOriginal: no bytes make it panic, and what is taken is written again as it was, but for numbers in a longer form.
func FuzzOriginal(f *testing.F) {
	f.Add(AppendOriginal(nil, "why", []byte("text/xml"), []byte("k"), []byte("v")))
	f.Add([]byte{originalVersion, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOriginal(b)
		if err != nil {
			return
		}
		again, err := ParseOriginal(AppendOriginal(nil, o.Reason, o.ContentType, o.Key, o.Value))
		again.Size = o.Size // of a value that is not there
		if d := cmp.Diff(o, again); err != nil || d != "" && len(o.Value) <= MaxValue {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

// FuzzClean: it never grows beyond three bytes for one, and shows no digits of a decoder's beyond six.
func FuzzClean(f *testing.F) {
	f.Add(`a "b" 4111111111111111`, true)
	f.Fuzz(func(t *testing.T, reason string, ofDecoder bool) {
		got := Clean(reason, ofDecoder)
		if len(got) > len(reason)+4*(1+strings.Count(reason, `"`)) {
			t.Errorf("%d bytes become %d", len(reason), len(got))
		}
		for i := 0; i < len(got); i++ {
			n := digits(got[i:])
			if ofDecoder && n > 6 || mayBeCard(got[i:i+n]) && (i == 0 || !isDigit(got[i-1])) {
				t.Errorf("%q shows %s", got, got[i:i+n])
			}
			i += n
		}
	})
}
