package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
	"github.com/wattline/wattline/internal/rejects"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/loadgen"
)

// checkPlans: engines that were stopped in order leave no plan pending, and everything committed.
func (w *world) checkPlans(ctx context.Context, ends []int64) error {
	var numbers []int
	for i := range partitions {
		numbers = append(numbers, i)
	}
	c := kafkago.Client{Addr: kafkago.TCP(strings.Split(w.direct(), ", ")...), Timeout: 10 * time.Second}
	res, err := c.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{readingsTopic: numbers}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("fetch the committed offsets: %w", err)
	}
	for _, p := range res.Topics[readingsTopic] {
		if p.Error != nil {
			return fmt.Errorf("committed offset of partition %d: %w", p.Partition, p.Error)
		}
		m, err := engine.ParseMetadata(p.Metadata)
		if err != nil {
			w.log.fail("metadata of partition %d: %v", p.Partition, err)
			continue
		}
		if p.CommittedOffset != ends[p.Partition] || len(m.Plans) > 0 {
			w.log.fail("after stops in order partition %d is committed at %d of %d, with the plans %v", p.Partition, p.CommittedOffset, ends[p.Partition], m.Plans)
		}
	}
	return nil
}

// topicSeen is what the readings topic really has.
type topicSeen struct {
	records, distinct, again int64
	poison                   map[place]bool // records that nobody can read
	resent                   map[place]bool // byte for byte the same as one before
}

// place is a record of the readings topic.
type place struct {
	partition int32
	offset    int64
}

// readTopic reads all of it.
func (w *world) readTopic(ctx context.Context, client *kafka.Client) (*topicSeen, error) {
	t := &topicSeen{poison: map[place]bool{}, resent: map[place]bool{}}
	for i := range int32(partitions) {
		known := map[uint64]bool{}
		_, err := client.ReadLog(ctx, readingsTopic, i, 0, func(r engine.Record) error {
			at := place{i, r.Offset}
			t.records++
			if string(r.Key) == poisonKey {
				t.poison[at] = true
				return nil
			}
			h := xxhash.New()
			_, _ = h.Write(r.Key) // never fails
			_, _ = h.Write([]byte{0})
			_, _ = h.Write(r.Value)
			if sum := h.Sum64(); known[sum] {
				t.resent[at] = true
				t.again++
			} else {
				known[sum] = true
				t.distinct++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s/%d: %w", readingsTopic, i, err)
		}
	}
	return t, nil
}

// prove holds the ledger to the truth. What is not as it has to be is noted; an error means that it could not be asked.
func (w *world) prove(ctx context.Context) error {
	client, err := kafka.New(kafka.Config{Brokers: strings.Split(w.direct(), ", "), ClientID: "chaos-judge"})
	if err != nil {
		return err
	}
	defer client.Close()
	topic, err := w.readTopic(ctx, client)
	if err != nil {
		return err
	}
	sums := w.network.Sums(w.untilMs, 15*60_000)
	if topic.distinct != sums.Readings {
		w.log.fail("the topic has %d different readings, the network %d: the load is wrong, not the ledger", topic.distinct, sums.Readings)
	}
	sessions, err := w.checkTruth(ctx)
	if err != nil {
		return err
	}
	if err := w.checkRows(ctx, &sums); err != nil {
		return err
	}
	if err := w.checkProjections(ctx); err != nil {
		return err
	}
	finals, err := w.finals(ctx)
	if err != nil {
		return err
	}
	rejected, err := w.checkRejects(ctx, client, topic, finals)
	if err != nil {
		return err
	}
	cdrs, err := w.checkCDRs(ctx, client, finals)
	if err != nil {
		return err
	}
	prices, err := w.checkPrices(ctx, client, finals)
	if err != nil {
		return err
	}
	w.log.say("sent: %d messages, %d different readings, %d sent again, %d poisoned; sessions %d; rows of charges %d; rejects %s; CDRs %s; prices %s",
		topic.records, topic.distinct, topic.again, len(topic.poison), sessions, sums.Rows, rejected, cdrs, prices)
	for _, args := range [][]string{{"verify"}, {"verify", "--all"}} {
		code, out := w.command(ctx, append(args, "--config", w.tools())...)
		w.log.say("wattline %s: exit %d: %s", strings.Join(args, " "), code, lastLine(out))
		if code != 0 {
			w.log.fail("wattline %s:\n%s", strings.Join(args, " "), out)
		}
	}
	return nil
}

// verdict prints what came of everything.
func (w *world) verdict(p *poller) {
	kills, counts := w.log.counts()
	w.log.say("what was done:\n%s", counts)
	w.log.say("prices over HTTP: %d answers held against the ones before, %d older than one before; %d times no answer, %d times not there",
		p.answers, p.faults, p.silent, p.unknown)
	if p.answers == 0 {
		w.log.fail("no price was ever answered")
	}
	list := w.log.failures()
	if len(list) == 0 {
		w.log.say("VERDICT: %d kills, 0 lost, 0 doubled, projections equal, nothing pending", kills)
		return
	}
	w.log.say("VERDICT: %d kills, %d findings; everything is kept in %s", kills, len(list), w.dir)
	for _, f := range list {
		w.log.say("- %s", f)
	}
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// priced is a session as truth and ledger are compared.
type priced struct {
	Status                            string
	Readings, EnergyMwh               int64
	ChargingMs, ParkingMs, ReservedMs int64
	Currency, Excl                    string // Excl in micros, "unknown" where the tariff leaves it so
	InclMicros                        int64
}

// stored is a line of the question below.
type stored struct {
	Name string `json:"name"`
	priced
	RowEnergy int64  `json:"row_energy"`
	RowExcl   string `json:"row_excl"`
	RowIncl   int64  `json:"row_incl"`
}

const storedQuery = `SELECT concat(l.charge_point, '/', toString(l.connector), '/', l.transaction) AS name, toString(l.status) AS Status,
	toInt64(l.readings) AS Readings, toInt64(l.energy_kwh * 1000000) AS EnergyMwh, toInt64(l.charging_s * 1000) AS ChargingMs,
	toInt64(l.parking_s * 1000) AS ParkingMs, toInt64(l.reservation_s * 1000) AS ReservedMs, l.currency AS Currency,
	ifNull(toString(toInt64(l.excl * 1000000)), 'unknown') AS Excl, toInt64(l.incl * 1000000) AS InclMicros,
	c.energy AS row_energy, if(c.known = c.rows, toString(c.excl), 'unknown') AS row_excl, c.incl AS row_incl
	FROM sessions_latest AS l LEFT JOIN (
		SELECT session_id, sumIf(energy_mwh, kind = 'usage') AS energy, count() AS rows, count(excl_micros) AS known,
			ifNull(sum(excl_micros), 0) AS excl, sum(incl_micros) AS incl
		FROM charges GROUP BY session_id) AS c ON c.session_id = l.session_id
	FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0`

// checkTruth compares every session with the oracle: what sessions_latest says, and what its rows add up to.
func (w *world) checkTruth(ctx context.Context) (sessions int, err error) {
	out, err := w.ask(ctx, storedQuery)
	if err != nil {
		return 0, err
	}
	have := map[string]stored{}
	for line := range strings.Lines(out) {
		var s stored
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return 0, fmt.Errorf("%w in %s", err, line)
		}
		if _, twice := have[s.Name]; twice {
			w.log.fail("sessions_latest has %s twice", s.Name)
		}
		have[s.Name] = s
	}
	told := 0
	differ := func(format string, args ...any) {
		if told++; told <= 10 {
			w.log.fail(format, args...)
		}
	}
	for s := range w.network.Sessions(w.untilMs) {
		sessions++
		name := fmt.Sprintf("%s/%d/%s", s.ChargePoint, s.Connector, s.Transaction)
		want, err := truth(s, w.untilMs)
		if err != nil {
			return 0, err
		}
		got, ok := have[name]
		delete(have, name)
		if !ok {
			differ("LOST: session %s is not in sessions_latest", name)
			continue
		}
		if got.priced != want {
			differ("session %s: sessions_latest has %+v, the truth is %+v", name, got.priced, want)
		}
		if got.RowEnergy != want.EnergyMwh || got.RowExcl != want.Excl || got.RowIncl != want.InclMicros {
			differ("session %s: its rows add up to %d mWh, excl %s, incl %d; the truth is %+v", name, got.RowEnergy, got.RowExcl, got.RowIncl, want)
		}
	}
	for name := range have {
		differ("sessions_latest has %s, which is not of the network", name)
	}
	w.log.say("truth: %d sessions compared with the oracle, %d differences", sessions, told)
	return sessions, nil
}

// truth is the oracle's word on a session.
func truth(s *loadgen.Session, untilMs int64) (priced, error) {
	v, err := s.Truth(untilMs)
	if err != nil {
		return priced{}, err
	}
	p := priced{
		Status: "COMPLETED", Readings: v.Readings, EnergyMwh: v.EnergyMwh, ChargingMs: v.ChargingMs, ParkingMs: v.ParkingMs,
		ReservedMs: v.ReservedMs, Currency: s.Tariff.Currency, Excl: "unknown", InclMicros: v.InclMicros,
	}
	if !v.ExclUnknown {
		p.Excl = fmt.Sprint(v.ExclMicros)
	}
	return p, nil
}

// checkRows compares the whole ledger with the rows of the fast pricer, and looks for doubles.
func (w *world) checkRows(ctx context.Context, want *loadgen.Sums) error {
	f := func(query, want string) error {
		got, err := w.ask(ctx, query)
		if err == nil && got != want {
			w.log.fail("%s: %s, want %s", query, got, want)
		}
		return err
	}
	err := f("SELECT count(), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros) FROM charges",
		fmt.Sprintf("%d\t%d\t%d\t%d\t%d", want.Rows, want.RowsEnergyMwh, want.RowsDurationMs, want.RowsExclMicros, want.RowsInclMicros))
	if err != nil {
		return err
	}
	if err := f("SELECT count() - countDistinct(session_id, position, line) FROM charges", "0"); err != nil {
		return err
	}
	return f("SELECT count() - countDistinct(topic, partition, block_first) FROM blocks", "0")
}

// checkProjections: rollups and their base say the same.
func (w *world) checkProjections(ctx context.Context) error {
	s, err := clickhouse.Open(ctx, clickhouse.Config{Addrs: []string{loopback(w.storePort)}, Password: secret.New(w.password), Database: database})
	if err != nil {
		return err
	}
	defer s.Close()
	equal, detail, err := s.ProjectionsEqual(ctx)
	if err == nil && !equal {
		w.log.fail("projections: %s", detail)
	}
	return err
}

// checkRejects: every poisoned record is there, at least once, and what is there beside them is a record that was sent
// again after its session was over, or a session that can have no CDR.
func (w *world) checkRejects(ctx context.Context, client *kafka.Client, topic *topicSeen, sessions map[string]final) (string, error) {
	keys, err := rejects.ReadPrivate(w.rejectsKey())
	if err != nil {
		return "", err
	}
	found := map[place]string{}
	total, late := 0, 0
	_, err = client.ReadLog(ctx, rejectsTopic, 0, 0, func(r engine.Record) error {
		v, err := reject.Parse(r.Value)
		if err != nil {
			w.log.fail("a reject that cannot be read: %q: %v", r.Value, err)
			return nil
		}
		key := v.AppendKey(nil)
		if id, ofCDR := bytes.CutPrefix(r.Key, append(key, '/')); ofCDR {
			if !sessions[string(id)].exclUnknown {
				w.log.fail("session %s could have a CDR, and has a reject: %s", id, r.Value)
			}
			return nil
		}
		if !bytes.Equal(key, r.Key) {
			w.log.fail("a reject's key is %q, its coordinates are %s", r.Key, key)
		}
		o, err := keys.Open(&v)
		if err != nil {
			w.log.fail("the reject %q cannot be opened: %v", r.Key, err)
		}
		v.Sealed = nil // it differs from double to double; what was sealed does not
		text := fmt.Sprintf("%+v: %+v", v, o)
		at := place{v.Partition, v.Offset}
		total++
		if before, again := found[at]; again {
			if before != text {
				w.log.fail("the reject %q was made twice, and differently: %s and %s", r.Key, before, text)
			}
			return nil
		}
		found[at] = text
		switch {
		case topic.poison[at]:
		case topic.resent[at]:
			late++
		default:
			w.log.fail("a good record was rejected: %s", r.Value)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read %s: %w", rejectsTopic, err)
	}
	missing := 0
	for at := range topic.poison {
		if _, ok := found[at]; !ok {
			missing++
		}
	}
	if missing > 0 {
		w.log.fail("LOST: %d of %d poisoned records have no reject", missing, len(topic.poison))
	}
	return fmt.Sprintf("%d, %d different, %d of them of readings sent again", total, len(found), late), nil
}
