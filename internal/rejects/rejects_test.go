package rejects

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
)

// kafka is topics in memory.
type kafka struct {
	logs map[engine.Partition][]engine.Record
	gone map[engine.Partition]int64 // offsets below are deleted
	fail string                     // topic that nobody can write to

	limit    int // of a value, bytes; 0: none
	tooLarge error
}

func newKafka() *kafka {
	return &kafka{logs: map[engine.Partition][]engine.Record{}, gone: map[engine.Partition]int64{}}
}

func (k *kafka) Produce(_ context.Context, topic string, partition int32, msgs []engine.Message) (int64, error) {
	if topic == k.fail {
		return 0, errors.New("no leader")
	}
	p := engine.Partition{Topic: topic, Number: partition}
	first := int64(len(k.logs[p]))
	for i, m := range msgs {
		if k.limit > 0 && len(m.Value) > k.limit {
			return 0, k.tooLarge
		}
		if m.Private != nil {
			return 0, fmt.Errorf("%s has what may leave sealed alone", m.Key)
		}
		r := engine.Record{Offset: first + int64(i), TimestampMs: m.TimestampMs, Key: m.Key, Value: m.Value}
		if m.ContentType != "" {
			r.ContentType = []byte(m.ContentType)
		}
		k.logs[p] = append(k.logs[p], r)
	}
	return first, nil
}

func (k *kafka) Bounds(_ context.Context, p engine.Partition) (start, end int64, err error) {
	return k.gone[p], int64(len(k.logs[p])), nil
}

func (k *kafka) ReadLog(_ context.Context, topic string, partition int32, from int64, fn func(engine.Record) error) (int64, error) {
	p := engine.Partition{Topic: topic, Number: partition}
	for _, r := range k.logs[p][from:] {
		if err := fn(r); err != nil {
			return from, err
		}
	}
	return int64(len(k.logs[p])), nil
}

// refusal is what the engine makes of a message.
func refusal(c reject.Coordinates, reason string, contentType, key, value []byte) engine.Message {
	m := engine.Message{Key: c.AppendKey(nil), Value: c.AppendValue(nil, 1_750_000_000_000, reason), ContentType: reject.ContentType, TimestampMs: 1_750_000_000_000}
	if value != nil {
		m.Private = reject.AppendOriginal(nil, reason+" in full", contentType, key, value)
	}
	return m
}

func newKeys(t *testing.T, dir string) (*Private, *Public) {
	t.Helper()
	private, public := filepath.Join(dir, "key"), filepath.Join(dir, "pub")
	if _, err := NewKey(private, public, time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	k, err := ReadPrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	return k, p
}

const secretText = `{"idTag":"04A2B3C4D5E6F7","pan":4111111111111111}`

var where = reject.Coordinates{Topic: "readings", Partition: 1, Offset: 5}

// TestSealed: what goes to the topic shows nothing of the message, opens with the key, and with nothing else.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	keys, public := newKeys(t, dir)
	k := newKafka()
	p := NewProducer(k, "rejects", public)
	msgs := []engine.Message{refusal(where, "why", []byte("a/b"), []byte("CP1"), []byte(secretText)), refusal(where, "why", nil, nil, []byte(secretText))}
	if _, err := p.Produce(t.Context(), "rejects", 0, msgs); err != nil {
		t.Fatal(err)
	}
	log := k.logs[engine.Partition{Topic: "rejects"}]
	if len(log) != 2 || len(msgs[0].Private) == 0 {
		t.Fatalf("%d records; the caller's messages were changed: %v", len(log), len(msgs[0].Private) == 0)
	}
	for _, r := range log {
		if bytes.Contains(r.Value, []byte("04A2")) || bytes.Contains(r.Value, []byte("in full")) {
			t.Errorf("in clear: %s", r.Value)
		}
	}
	first, err := reject.Parse(log[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	o, err := keys.Open(&first)
	want := reject.Original{Reason: "why in full", ContentType: []byte("a/b"), Key: []byte("CP1"), Value: []byte(secretText), Size: len(secretText)}
	if d := cmp.Diff(want, o); err != nil || d != "" {
		t.Error(err, d)
	}
	second, _ := reject.Parse(log[1].Value)
	if bytes.Equal(first.Sealed[81:93], second.Sealed[81:93]) || !bytes.Equal(first.Sealed[:81], second.Sealed[:81]) {
		t.Error("messages share a nonce, or not their content key")
	}
	for i := range first.Sealed { // Z2: no byte can be another
		r := first
		r.Sealed = bytes.Clone(first.Sealed)
		r.Sealed[i] ^= 1
		if _, err := keys.Open(&r); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	other := first
	other.Offset++
	if _, err := keys.Open(&other); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened as what was sealed of another record: %v", err)
	}
	strangers, _ := newKeys(t, t.TempDir())
	if _, err := strangers.Open(&first); !errors.Is(err, ErrNoKey) || strings.Contains(err.Error(), "idTag") {
		t.Error(err)
	}
	first.KeyID = strangers.IDs()[0]
	if _, err := strangers.Open(&first); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	// A second key: what was sealed before still opens.
	keys, _ = newKeys(t, dir)
	if _, err := keys.Open(&second); err != nil || len(keys.IDs()) != 2 {
		t.Error(err, keys.IDs())
	}
}

// TestWithoutKey: Z1; and what goes to other topics is left alone.
func TestWithoutKey(t *testing.T) {
	k := newKafka()
	m := refusal(where, "why", nil, nil, []byte(secretText))
	unsealed := producer{k}
	if _, err := NewProducer(unsealed, "rejects", nil).Produce(t.Context(), "rejects", 0, []engine.Message{m}); err != nil {
		t.Fatal(err)
	}
	_, public := newKeys(t, t.TempDir())
	if _, err := NewProducer(k, "rejects", public).Produce(t.Context(), "state", 2, []engine.Message{{Key: []byte("k")}}); err != nil {
		t.Fatal(err)
	}
	if got := k.logs[engine.Partition{Topic: "rejects"}]; len(got) != 1 || !bytes.Equal(got[0].Value, m.Value) {
		t.Errorf("%s", got[0].Value)
	}
	if got := k.logs[engine.Partition{Topic: "state", Number: 2}]; len(got) != 1 || got[0].Value != nil {
		t.Errorf("%+v", got)
	}
}

// TestTooLarge: a topic that takes no large records gets the clear part, instead of holding up the block.
func TestTooLarge(t *testing.T) {
	errLarge := errors.New("too large")
	k := newKafka()
	k.limit, k.tooLarge = 200, errLarge
	_, public := newKeys(t, t.TempDir())
	p := NewProducer(k, "rejects", public)
	m := refusal(where, "why", nil, nil, []byte(secretText))
	if _, err := p.Produce(t.Context(), "rejects", 0, []engine.Message{m}); !errors.Is(err, errLarge) {
		t.Error(err)
	}
	p.TooLarge = func(err error) bool { return errors.Is(err, errLarge) }
	if _, err := p.Produce(t.Context(), "rejects", 0, []engine.Message{m}); err != nil {
		t.Fatal(err)
	}
	if got := k.logs[engine.Partition{Topic: "rejects"}]; len(got) != 1 || !bytes.Equal(got[0].Value, m.Value) {
		t.Errorf("%+v", got)
	}
}

// producer writes as a Kafka producer does: it knows of nothing private.
type producer struct{ *kafka }

func (p producer) Produce(ctx context.Context, topic string, partition int32, msgs []engine.Message) (int64, error) {
	var out []engine.Message
	for _, m := range msgs {
		m.Private = nil
		out = append(out, m)
	}
	return p.kafka.Produce(ctx, topic, partition, out)
}

// TestSealedGolden opens the bytes of docs/formats/rejects.md.
func TestSealedGolden(t *testing.T) {
	const private = "wattline-rejects-private-1 300c9c96 dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo= 2026-11-30\n"
	page, err := os.ReadFile("../../docs/formats/rejects.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parsePrivate([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte(private)) {
		t.Error("the page does not have the key")
	}
	_, rest, _ := strings.Cut(string(page), "\n    {\"v\":2,\"topic\":\"readings\",\"partition\":1,\"offset\":5")
	line, _, _ := strings.Cut(`{"v":2,"topic":"readings","partition":1,"offset":5`+rest, "\n")
	r, err := reject.Parse([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	o, err := keys.Open(&r)
	if err != nil || o.Reason != "why in full" || string(o.ContentType) != "a/b" || string(o.Key) != "CP1" || string(o.Value) != "<a/>" {
		t.Errorf("%+v %v", o, err)
		b, _ := parsePublic([]byte("wattline-rejects-public-1 300c9c96 " + base64.StdEncoding.EncodeToString(keys.keys[0].key.PublicKey().Bytes())))
		p := NewProducer(nil, "", b)
		m := refusal(where, "why", []byte("a/b"), []byte("CP1"), []byte("<a/>"))
		sealed, _ := p.seal(m.Key, m.Private)
		t.Logf("one that is right: %s", reject.AppendSealed(nil, m.Value, b.ID, sealed))
	}
}

// TestContentKeyChanges: long before chance nonces could repeat.
func TestContentKeyChanges(t *testing.T) {
	_, public := newKeys(t, t.TempDir())
	p := NewProducer(nil, "", public)
	_, first, err := p.current()
	if err != nil {
		t.Fatal(err)
	}
	_, second, _ := p.current()
	p.left = 0
	_, third, _ := p.current()
	if !bytes.Equal(first, second) || bytes.Equal(first, third) || len(first) != 1+wrapped {
		t.Errorf("%x\n%x\n%x", first, second, third)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	private, public := filepath.Join(dir, "key"), filepath.Join(dir, "pub")
	id, err := NewKey(private, public, time.UnixMilli(0))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(private); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	p, err := ReadPublic(public)
	if err != nil || p.ID != id {
		t.Error(p, err)
	}
	if _, err := ReadPublic(private); err == nil || strings.Contains(err.Error(), "AAAA") || !strings.Contains(err.Error(), "line 1 is not wattline-rejects-public-1") {
		t.Error(err)
	}
	if _, err := ReadPrivate(public); err == nil {
		t.Error("a public key is taken for a private one")
	}
	if _, err := NewKey(public, private, time.UnixMilli(0)); err == nil {
		t.Error("a key was appended to a file of another kind")
	}
	text, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	f := func(text, want string) {
		t.Helper()
		if _, err := parsePrivate([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "has no key")
	f("# hush\n\nhush hush hush\n", "line 3 is not")
	f(privateWord+" hush hush\n", "line 1 has no key of 32 bytes")
	f(strings.Replace(string(text), id, "hush0000", 1), "line 1 is damaged")
	if _, err := parsePublic(nil); err == nil {
		t.Error("no key is taken")
	}
}

// TestTopic: found, opened or read from its own topic, and sent again, once.
func TestTopic(t *testing.T) {
	ctx := t.Context()
	keys, public := newKeys(t, t.TempDir())
	k := newKafka()
	from := engine.Partition{Topic: "readings", Number: 1}
	for i := range 6 {
		k.logs[from] = append(k.logs[from], engine.Record{Offset: int64(i), Key: []byte("CP1"), Value: fmt.Appendf(nil, "message %d", i)})
	}
	sealer := NewProducer(k, "rejects", public)
	second, other := where, where
	second.Index, other.Offset = 3, 4
	send := func(m ...engine.Message) {
		t.Helper()
		if _, err := sealer.Produce(ctx, "rejects", 0, m); err != nil {
			t.Fatal(err)
		}
	}
	whole := refusal(where, "why", []byte("a/b"), []byte("CP1"), []byte("message 5"))
	send(whole, refusal(second, "why not", nil, nil, nil))
	send(whole) // the block was made again
	send(refusal(other, "other", nil, nil, nil))
	k.logs[engine.Partition{Topic: "rejects"}] = append(k.logs[engine.Partition{Topic: "rejects"}], engine.Record{Offset: 4, Value: []byte("somebody's")})

	topic := &Topic{Logs: k, Name: "rejects"}
	var ids []string
	foreign, err := topic.Each(ctx, func(r reject.Record) error {
		ids = append(ids, string(r.AppendKey(nil)))
		return nil
	})
	if d := cmp.Diff([]string{"readings/1/5/0", "readings/1/5/3", "readings/1/4/0"}, ids); err != nil || d != "" || foreign != 1 {
		t.Fatal(err, d, foreign)
	}
	found, err := topic.Find(ctx, []string{"readings/1/5/3", "readings/1/4/0"})
	if err != nil {
		t.Fatal(err)
	}
	message := func(f *Found, keys *Private, want, wantFrom string) {
		t.Helper()
		o, from, err := topic.Message(ctx, f, keys)
		if string(o.Value) != want || from != wantFrom || (err == nil) != (want != "") {
			t.Errorf("%q from %q, want %q from %q: %v", o.Value, from, want, wantFrom, err)
		}
		if want == "" && !errors.Is(err, ErrGone) {
			t.Error(err)
		}
	}
	message(&found[0], keys, "message 5", "sealed")
	message(&found[0], nil, "message 5", "readings topic")
	message(&found[1], keys, "message 4", "readings topic")
	k.gone[from] = 5
	message(&found[1], keys, "", "")
	k.gone[from] = 6
	message(&found[0], keys, "message 5", "sealed")
	message(&found[0], nil, "", "")
	if _, err := topic.Find(ctx, []string{"readings/1/6/0"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, bad := range []string{"", "x", "a/b/c/d", "a/1/2", "/1/2/3", "a/-1/2/3", "a/1/2/3/4"} {
		if _, err := topic.Find(ctx, []string{bad}); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
	retry(t, k, topic, keys, &found[0])
}

func retry(t *testing.T, k *kafka, topic *Topic, keys *Private, f *Found) {
	ctx, from := t.Context(), engine.Partition{Topic: "readings", Number: 1}
	r := &Retrying{Topic: topic, Producer: k, Keys: keys, By: "me@here", Now: func() time.Time { return time.UnixMilli(1_750_000_009_000) }}
	done, err := r.Do(ctx, f)
	want := reject.Retry{By: "me@here", AtMs: 1_750_000_009_000, Topic: "readings", Partition: 1, Offset: 6}
	if d := cmp.Diff(want, done); err != nil || d != "" {
		t.Fatal(err, d)
	}
	sent := engine.Record{Offset: 6, TimestampMs: 1_750_000_000_000, Key: []byte("CP1"), Value: []byte("message 5"), ContentType: []byte("a/b")}
	if d := cmp.Diff(sent, k.logs[from][6]); d != "" {
		t.Error(d)
	}
	again, err := topic.Find(ctx, []string{"readings/1/5/0"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*reject.Retry{&want}, again[0].Retries); d != "" {
		t.Error(d)
	}
	if _, err := r.Do(ctx, &again[0]); !errors.Is(err, ErrRetried) || len(k.logs[from]) != 7 {
		t.Errorf("%v, %d messages", err, len(k.logs[from]))
	}
	r.Again = true
	k.fail = topic.Name
	if _, err := r.Do(ctx, &again[0]); err == nil || !strings.Contains(err.Error(), "readings/1/7") {
		t.Error(err)
	}
	k.fail = "readings"
	if _, err := r.Do(ctx, &again[0]); err == nil || len(k.logs[from]) != 8 {
		t.Error(err)
	}
}

// FuzzOpen: nothing that lies on the topic makes Open panic, and only what was sealed opens.
func FuzzOpen(f *testing.F) {
	keys, err := parsePrivate([]byte("wattline-rejects-private-1 300c9c96 dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{sealedVersion})
	f.Add(make([]byte, 1+wrapped+nonceSize+tagSize))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if o, err := keys.Open(&reject.Record{Coordinates: where, KeyID: "300c9c96", Sealed: sealed}); err == nil {
			t.Errorf("%x opens: %+v", sealed, o)
		}
	})
}

// FuzzKeys: no file makes the readers panic, and no fault repeats the file.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("wattline-rejects-private-1 300c9c96 dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo= 2026-11-30\n"))
	f.Add([]byte("hush-4711-word a b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err1 := parsePrivate(b)
		_, err2 := parsePublic(b)
		for _, err := range []error{err1, err2} {
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Error(err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := [32]byte{}
	block, err := aes.NewCipher(k[:])
	if err != nil {
		b.Fatal(err)
	}
	p := NewProducer(nil, "", nil)
	if p.aead, err = cipher.NewGCM(block); err != nil {
		b.Fatal(err)
	}
	p.head, p.left = make([]byte, 1+wrapped), 1<<62
	key, plain := []byte("wattline.readings/3/1234/0"), make([]byte, 300)
	b.SetBytes(300)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.seal(key, plain); err != nil {
			b.Fatal(err)
		}
	}
}
