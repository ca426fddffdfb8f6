package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/arrowipc"
	"github.com/wattline/wattline/connectors/jsonreading"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

// doorSession is a session with everything that the doors can all say: from its start to its stop, in order.
func doorSession(rnd *rand.Rand, tx string) []rating.Reading {
	at, reg := minutes(rnd.Int64N(600)), rnd.Int64N(1_000_000)*1000
	var out []rating.Reading
	add := func(kind rating.Kind, state rating.ChargeState) {
		out = append(out, rating.Reading{
			AtMs: at, RegisterMwh: reg, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: int64(len(out)), ResolutionMwh: 1000,
			Connector: 1, Kind: kind, State: state, ChargePoint: []byte("CP1"), Transaction: []byte(tx),
		})
	}
	add(rating.KindStart, rating.StateCharging)
	states := []rating.ChargeState{rating.StateCharging, rating.StateCharging, rating.StateSuspendedEV, rating.StateSuspendedEVSE, rating.StateIdle}
	for range 20 + rnd.IntN(30) {
		at += 1 + rnd.Int64N(10*minuteMs)
		reg += rnd.Int64N(500) * 1000
		add(rating.KindMeter, states[rnd.IntN(len(states))])
	}
	at += 1 + rnd.Int64N(minuteMs)
	add(rating.KindStop, rating.StateUnchanged)
	out[len(out)-1].Context = rating.ContextEnd
	return out
}

// through rates readings as messages of one door and returns what it made, exact with the source positions and
// loose without them.
func through(t *testing.T, decode Decode, readings []rating.Reading, encode func(r *rating.Reading) []byte) (exact, loose []string) {
	t.Helper()
	b := newBare(t, Config{}, "CP1")
	b.decoders = func(string, []byte) Decode { return decode }
	for i := range readings {
		rec := Record{Offset: b.nextOffset, TimestampMs: readings[i].AtMs + 500, Key: []byte("CP1"), Value: encode(&readings[i])}
		done, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited)
		if err != nil || !done {
			t.Fatalf("rate of %s: done %v, error %v", rec.Value, done, err)
		}
	}
	exact = b.rows()
	w := newWorld(1)
	for _, in := range b.block.inserts() {
		if err := w.Insert(context.Background(), in); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range w.charges {
		loose = append(loose, c.text)
	}
	for _, s := range w.sessions {
		loose = append(loose, fmt.Sprint(s.status, s.total))
	}
	return exact, loose
}

// packed rates readings as messages of up to five each, and returns what it made without the source positions.
func packed(t *testing.T, decode Decode, readings []rating.Reading, encode func(readings []rating.Reading) []byte) []string {
	t.Helper()
	var messages [][]byte
	var carriers []rating.Reading // one for each message, with its time
	for i := 0; i < len(readings); i += 5 {
		list := readings[i:min(i+5, len(readings))]
		messages, carriers = append(messages, encode(list)), append(carriers, list[len(list)-1])
	}
	_, loose := through(t, decode, carriers, func(*rating.Reading) []byte {
		m := messages[0]
		messages = messages[1:]
		return m
	})
	return loose
}

// event201 writes a reading as the TransactionEvent that a station would send.
func event201(r *rating.Reading) []byte {
	at := time.UnixMilli(r.AtMs).UTC().Format("2006-01-02T15:04:05.999Z")
	kind, context, info := "Updated", "Sample.Periodic", fmt.Sprintf(`"transactionId":%q`, r.Transaction)
	switch r.Kind {
	case rating.KindStart:
		kind, context = "Started", "Transaction.Begin"
	case rating.KindStop:
		kind, context = "Ended", "Transaction.End"
	}
	if r.State != rating.StateUnchanged {
		info += fmt.Sprintf(`,"chargingState":%q`, []string{"", "Charging", "SuspendedEV", "SuspendedEVSE", "Idle"}[r.State])
	}
	return fmt.Appendf(nil, `{"charger":"CP1","direction":"in","frame":[2,"m","TransactionEvent",{"eventType":%q,"timestamp":%q,"triggerReason":"x","seqNo":%d,`+
		`"transactionInfo":{%s},"evse":{"id":1},"meterValue":[{"timestamp":%q,"sampledValue":[{"value":%d,"context":%q,"unitOfMeasure":{"unit":"Wh"}}]}]}]}`,
		kind, at, r.Seq, info, at, r.RegisterMwh/1000, context)
}

// TestDoors: the same session through every door gives the same rows, and repeated messages change nothing but a flag.
func TestDoors(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	for n := range 20 {
		readings := doorSession(rnd, fmt.Sprintf("T-%d", n))
		want, loose := through(t, wire.Decode, readings, func(r *rating.Reading) []byte { return wire.Append(nil, r) })
		if len(loose) < 10 {
			t.Fatalf("%d rows: nothing was rated", len(loose))
		}
		got, _ := through(t, jsonreading.Decode, readings, func(r *rating.Reading) []byte { return jsonreading.Append(nil, r) })
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("JSON (-protobuf +json)\n%s", d)
		}
		arrow := func(list []rating.Reading) []byte {
			value, err := arrowipc.Encode(nil, list)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
		got, _ = through(t, arrowipc.Decode, readings, func(r *rating.Reading) []byte { return arrow([]rating.Reading{*r}) })
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("Arrow (-protobuf +arrow)\n%s", d)
		}
		for name, got := range map[string][]string{
			"Protobuf": packed(t, wire.Decode, readings, func(list []rating.Reading) []byte { return wire.AppendBatch(nil, list) }),
			"JSON":     packed(t, jsonreading.Decode, readings, func(list []rating.Reading) []byte { return jsonreading.AppendArray(nil, list) }),
			"Arrow":    packed(t, arrowipc.Decode, readings, arrow),
		} {
			if d := cmp.Diff(loose, got); d != "" {
				t.Fatalf("%s in packed messages (-one by one +packed)\n%s", name, d)
			}
		}
		_, got = through(t, ocpp.Decode2, readings, event201)
		if d := cmp.Diff(loose, got); d != "" {
			t.Fatalf("OCPP 2.0.1 (-protobuf +ocpp)\n%s", d)
		}
		var twice []rating.Reading
		for i := range readings {
			twice = append(twice, readings[i], readings[i])
		}
		_, got = through(t, ocpp.Decode2, twice, event201)
		if d := cmp.Diff(loose, got); d != "" {
			t.Fatalf("OCPP 2.0.1, each message twice (-once +twice)\n%s", d)
		}
	}
}

// TestTransactionEvents: what OCPP 2.x stations do that 1.6 can not.
func TestTransactionEvents(t *testing.T) {
	at := func(n int64) string { return time.UnixMilli(minutes(n)).UTC().Format(time.RFC3339) }
	value := func(n, wh int64, context string) string {
		return fmt.Sprintf(`"meterValue":[{"timestamp":%q,"sampledValue":[{"value":%d,"context":%q,"unitOfMeasure":{"unit":"Wh"}}]}]`, at(n), wh, context)
	}
	event := func(kind string, n, seq int64, rest ...string) string {
		return fmt.Sprintf(`{"eventType":%q,"timestamp":%q,"triggerReason":"x","seqNo":%d,"transactionInfo":{"transactionId":"7"}%s}`,
			kind, at(n), seq, strings.Join(append([]string{""}, rest...), ","))
	}
	f := func(name, want string, events ...string) {
		t.Helper()
		b := newBare(t, Config{}, "CP1")
		b.decoders = func(string, []byte) Decode { return ocpp.Decode2 }
		for i, e := range events {
			rec := Record{Offset: b.nextOffset, TimestampMs: minutes(int64(60 + i)), Key: []byte("CP1"), Value: []byte(`[2,"m","TransactionEvent",` + e + `]`)}
			if _, err := b.rate(&memBatch{recs: []Record{rec}, next: rec.Offset + 1}, unlimited); err != nil {
				t.Fatal(err)
			}
		}
		got := fmt.Sprintf("%d sessions, %d rejects: %s", b.sessions.Live, len(b.block.Rejects), b.last()["7"])
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	const evse = `"evse":{"id":1}`
	f("authorised before the EVSE is known", "0 sessions, 0 rejects: status 3, 6000 Wh, 4 readings, flags [late held]",
		event("Started", 0, 0), event("Updated", 1, 1, evse, value(1, 1000, "Transaction.Begin")), event("Updated", 10, 2, value(10, 3000, "Sample.Periodic")),
		event("Ended", 20, 3, evse, value(20, 7000, "Transaction.End")))
	f("offline: everything later, the end twice", "0 sessions, 0 rejects: status 3, 6000 Wh, 3 readings, flags [duplicate late]",
		event("Started", 0, 0, evse, value(0, 1000, "Transaction.Begin"), `"offline":true`), event("Updated", 10, 1, value(10, 3000, "Sample.Periodic"), `"offline":true`),
		event("Updated", 10, 1, value(10, 3000, "Sample.Periodic"), `"offline":true`),
		event("Ended", 20, 2, value(20, 7000, "Transaction.End"), `"offline":true`), event("Ended", 20, 2, value(20, 7000, "Transaction.End"), `"offline":true`))
	f("an end that repeats all values", "0 sessions, 0 rejects: status 3, 6000 Wh, 3 readings, flags [duplicate late]",
		event("Started", 0, 0, evse, value(0, 1000, "Transaction.Begin")), event("Updated", 10, 1, value(10, 3000, "Sample.Periodic")),
		event("Ended", 20, 2, fmt.Sprintf(`"meterValue":[{"timestamp":%q,"sampledValue":[{"value":3000,"unitOfMeasure":{"unit":"Wh"}}]},`+
			`{"timestamp":%q,"sampledValue":[{"value":7000,"context":"Transaction.End","unitOfMeasure":{"unit":"Wh"}}]}]`, at(10), at(20))))
	f("a late message of an ended transaction opens nothing", "0 sessions, 0 rejects: status 3, 6000 Wh, 2 readings, flags [late held]",
		event("Started", 0, 0, value(0, 1000, "Transaction.Begin")), event("Ended", 20, 2, evse, value(20, 7000, "Transaction.End")),
		event("Updated", 10, 1, evse, value(10, 3000, "Sample.Periodic")), event("Started", 0, 0, value(0, 1000, "Transaction.Begin")))
	f("a signed value", "0 sessions, 0 rejects: status 3, 2000 Wh, 2 readings, flags [late signed]",
		event("Started", 0, 0, evse, value(0, 1000, "Transaction.Begin")), event("Ended", 20, 2, fmt.Sprintf(`"meterValue":[{"timestamp":%q,`+
			`"sampledValue":[{"value":3,"context":"Transaction.End","unitOfMeasure":{"unit":"kWh"},"signedMeterValue":{"signedMeterData":"AA","encodingMethod":"OCMF"}}]}]`, at(20))))
}
