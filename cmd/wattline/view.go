package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/ask"
	"github.com/wattline/wattline/internal/livebill"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// How often the view is drawn: on a screen, and as lines.
const (
	drawEvery  = time.Second
	plainEvery = 5 * time.Second
	askWithin  = 900 * time.Millisecond // of the questions that a frame asks
)

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// viewer makes frames of a running demo.
type viewer struct {
	d      *demo
	reader string // password of the store's user reader
	zones  map[string]*time.Location

	last        time.Time
	lastCount   int64
	rate        int64
	simulatedMs int64
	behind      time.Duration
	told        int  // notices shown in lines
	keys        bool // are read
	billing     bool
	billOf      *livebill.Session // whose bill is shown
	billRows    []clickhouse.BillLine
	billEnded   time.Time
	totals      totals
}

// totals is what ClickHouse holds.
type totals struct {
	known     bool
	rows      int64
	energyMwh int64
	revenue   []liveview.Money
}

// watch shows the demo until ctx ends or a part of it fails.
func (d *demo) watch(ctx context.Context) error {
	reader, err := os.ReadFile(filepath.Join(d.n.storeDir, "reader.password"))
	if err != nil {
		return err
	}
	v := &viewer{d: d, reader: strings.TrimSpace(string(reader)), zones: map[string]*time.Location{}, last: time.Now()}
	v.billing = d.o.bill
	file, screen := isTerminal(d.std.out)
	screen = screen && !d.o.plain
	every := plainEvery
	draw := v.plain
	pressed := make(<-chan byte) // nothing, without a terminal
	if screen {
		every = drawEvery
		s := newScreen(d.std.out, file)
		defer func() { _ = s.Close() }()
		var calm func()
		pressed, calm = keys(d.std.in)
		v.keys = pressed != nil
		defer calm()
		draw = func(ctx context.Context) error {
			if v.billing {
				return s.DrawLines(v.bill(ctx).Lines)
			}
			return s.Draw(v.frame(ctx))
		}
	} else {
		for _, h := range v.hints(nil) {
			fmt.Fprintln(d.std.out, h)
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := draw(ctx); err != nil {
			return fmt.Errorf("draw: %w", err)
		}
		select {
		case <-tick.C:
		case key := <-pressed:
			if v.press(key) {
				return nil
			}
		case <-ctx.Done():
			return nil
		case err := <-d.n.failed:
			return err
		case err := <-d.loadDone:
			d.loadDone <- err // for its stop
			return fmt.Errorf("the readings ended: %w", err)
		}
	}
}

// plain writes a frame as lines, and the bill below if it was asked for; notices are told once.
func (v *viewer) plain(ctx context.Context) error {
	f := v.frame(ctx)
	lines, total := v.d.notices.Newest()
	f.Warnings = lines[len(lines)-min(len(lines), total-v.told):]
	v.told = total
	show := f.Plain(80)
	if v.billing {
		show = append(show, v.bill(ctx).Plain(80)...)
	}
	for _, l := range show {
		if _, err := fmt.Fprintln(v.d.std.out, l); err != nil {
			return err
		}
	}
	return nil
}

// frame asks everybody how things stand.
func (v *viewer) frame(ctx context.Context) *liveview.Frame {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	v.hear()
	f := &liveview.Frame{Title: fmt.Sprintf("Wattline demo: %d charge points, %s", v.d.o.chargers, speedText(v.d.o.speed)) + v.keyHint()}
	v.stats(f)
	if err := v.d.n.engine.Ready(); err != nil {
		f.State = err.Error()
	}
	if v.behind > time.Second {
		f.State = fmt.Sprintf("sending is %v behind", v.behind.Round(time.Second))
	}
	dearest, _ := v.d.n.engine.Dearest(ctx, 10) // what could not be asked in time is missing for a second
	for i := range dearest {
		f.Dearest = append(f.Dearest, v.session(&dearest[i]))
	}
	if t, err := v.ask(ctx); err == nil {
		v.totals = t
	}
	f.Totals, f.Rows, f.EnergyMwh, f.Revenue = v.totals.known, v.totals.rows, v.totals.energyMwh, v.totals.revenue
	f.Hints = v.hints(dearest)
	f.Warnings, _ = v.d.notices.Newest()
	return f
}

func speedText(speed int64) string {
	if speed == 1 {
		return "in real time"
	}
	return fmt.Sprintf("%d times as fast as time", speed)
}

// hear takes the newest progress of the sender.
func (v *viewer) hear() {
	var p loadgen.Progress
	select {
	case p = <-v.d.progress:
		v.simulatedMs, v.behind = p.SimulatedMs, p.Behind
	default:
	}
}

// stats sums up the partitions.
func (v *viewer) stats(f *liveview.Frame) {
	var readings int64
	var watermark, durable int64 = rating.Unknown, rating.Unknown
	for _, s := range v.d.n.engine.Stats() {
		readings += s.Readings
		f.LiveSessions += s.Live
		f.HeldSessions += s.Held
		if s.End < 0 {
			f.Lag = -1
		} else if f.Lag >= 0 {
			f.Lag += max(0, s.End-s.Position)
		}
		watermark = max(watermark, s.WatermarkMs)
		if s.DurableMs > 0 && (durable == rating.Unknown || s.DurableMs < durable) {
			durable = s.DurableMs
		}
	}
	if elapsed := time.Since(v.last); elapsed >= drawEvery/2 {
		v.rate = (readings - v.lastCount) * int64(time.Second) / int64(elapsed)
		v.last, v.lastCount = time.Now(), readings
	}
	f.ReadingsPerSecond = max(0, v.rate)
	now := max(v.simulatedMs, watermark)
	if now > 0 {
		f.At = time.UnixMilli(now)
	}
	if durable != rating.Unknown && now > 0 {
		// Between two simulated instants a second passes in 1/speed of one.
		f.Freshness, f.FreshnessKnown = time.Duration(max(0, now-durable))*time.Millisecond/time.Duration(v.d.o.speed), true
	}
}

func (v *viewer) session(s *engine.SessionView) liveview.Session {
	zone := v.zone(s.Zone)
	why := whyNow(s, zone)
	if s.Tier != "" {
		why = s.Tier + ", " + why
	}
	return liveview.Session{
		ChargePoint: s.ChargePoint + "/" + strconv.Itoa(int(s.Connector)), Since: clockText(s.StartMs, zone), EnergyMwh: s.Total.EnergyMwh,
		Price: liveview.Money{Currency: s.Currency, Micros: s.Total.InclMicros}, Why: why,
	}
}

// zone is the location of a session's clock; UTC for one that is not known here.
func (v *viewer) zone(name string) *time.Location {
	z, ok := v.zones[name]
	if !ok {
		z = time.UTC
		if loaded, err := loadZone(name); err == nil {
			z = loaded.clock
		}
		v.zones[name] = z
	}
	return z
}

func clockText(ms int64, zone *time.Location) string {
	return time.UnixMilli(ms).In(zone).Format("15:04")
}

// whyNow says in words what changed a session's price last.
func whyNow(s *engine.SessionView, zone *time.Location) string {
	at := clockText(s.PeriodMs, zone)
	switch s.Split {
	case rating.SplitClock:
		return at + " time of day"
	case rating.SplitWeekday:
		return at + " weekday"
	case rating.SplitEnergy:
		return at + " energy reached"
	case rating.SplitDuration:
		return at + " time reached"
	case rating.SplitPower:
		return at + " power"
	case rating.SplitState:
		switch s.State {
		case rating.StateCharging:
			return at + " charges again"
		case rating.StateIdle:
			return at + " stays parked"
		}
		return at + " charging paused"
	}
	return at + " its start"
}

// hints say where and how to query; dearest may be nil.
func (v *viewer) hints(dearest []engine.SessionView) []string {
	n := v.d.n
	id := "ID"
	if len(dearest) > 0 {
		id = dearest[0].ID
	}
	return []string{
		"session  curl " + n.listener.Addr().String() + "/v1/sessions/" + id,
		"SQL      curl -u reader:$(cat " + filepath.Join(n.storeDir, "reader.password") + ") " + n.storeAt.addrs[0] + " \\",
		"           -d 'SELECT * FROM `" + n.cfg.ClickHouse.Database + "`.live_sessions LIMIT 5 FORMAT Vertical'",
		"Kafka    " + n.brokers[0] + ", topic " + n.cfg.Kafka.Readings[0].Topic + "     log  " + filepath.Join(v.d.o.dir, "wattline.log"),
	}
}

// ask sums up what is durable, through the interface that everybody has.
func (v *viewer) ask(ctx context.Context) (totals, error) {
	query := "SELECT currency, count(), sum(energy_mwh), sum(incl_micros) FROM `" + v.d.n.cfg.ClickHouse.Database + "`.charges GROUP BY currency ORDER BY currency FORMAT TSV"
	store := ask.Store{Base: "http://" + v.d.n.storeAt.addrs[0], User: "reader", Password: secret.New(v.reader)}
	var answer strings.Builder
	if err := store.Ask(ctx, &answer, nil, query); err != nil {
		return totals{}, err
	}
	return parseTotals(answer.String())
}

// parseTotals reads lines of currency, rows, mWh and micros.
func parseTotals(text string) (totals, error) {
	t := totals{known: true}
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 {
			return totals{}, fmt.Errorf("%q has %d fields", line, len(fields))
		}
		var numbers [3]int64
		for i, f := range fields[1:] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return totals{}, err
			}
			numbers[i] = n
		}
		t.rows += numbers[0]
		t.energyMwh += numbers[1]
		if fields[0] != "" {
			t.revenue = append(t.revenue, liveview.Money{Currency: fields[0], Micros: numbers[2]})
		}
	}
	return t, nil
}
