package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

func referenceLoadCommand() command {
	c := command{name: "reference load", args: "[--config FILE] [--withdraw] [--dry-run] DIR", summary: "Publish the tariffs and locations of a folder: what changed, and nothing else"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "DIR/tariffs and DIR/locations hold JSON or YAML files with OCPI objects (2.1.1, 2.2.1 or 2.3.0), lists of them, or\n"+
			"responses with `data`. Every fault is told with file and path, and then nothing is published. Running sessions keep\n"+
			"the tariff that they began with. OCPI 2.1.1 objects say no owner: give it with --country-code and --party-id.\n"+
			"Exit: 0 published or nothing to do, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		options := referenceOptions{}
		fs.BoolVar(&options.withdraw, "withdraw", false, "withdraw what is published and not in DIR")
		fs.BoolVar(&options.dryRun, "dry-run", false, "say what would be published, and publish nothing")
		fs.StringVar(&options.country, "country-code", "", "`code` of objects that have none")
		fs.StringVar(&options.party, "party-id", "", "`id` of objects that have none")
		fs.StringVar(&options.by, "by", whoami(), "`name` that is noted as the publisher")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) != 1 {
			return wrong(std, c, "it needs one folder, not %d", len(rest))
		}
		cfg, ok := loadConfigFor(std, c.name, *file, "kafka")
		if !ok {
			return exitFault
		}
		err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
			return referenceLoad(ctx, client, cfg, rest[0], options, func(line string) { fmt.Fprintln(std.out, line) })
		})
		if err != nil {
			fmt.Fprintf(std.err, "wattline reference load: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

// referenceOptions say how a folder is published.
type referenceOptions struct {
	withdraw, dryRun   bool
	country, party, by string
}

// whoami is user@machine, for people.
func whoami() string {
	name, machine := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		machine = h
	}
	return name + "@" + machine
}

// withKafka connects to the configured Kafka, else to the embedded one of these data, which it starts if it does not
// run.
func withKafka(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*kafka.Client) error) error {
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		addr, running := runningAddr(cfg, "kafka")
		if !running {
			broker, err := startEmbeddedKafka(cfg, log)
			if err != nil {
				return err
			}
			defer func() { _ = broker.Close() }() // everything was acknowledged
			addr = broker.Addr()
		}
		brokers = []string{addr}
	}
	id, err := engineID(cfg)
	if err != nil {
		return err
	}
	c, err := kafkaConfig(cfg, id, brokers, log)
	if err != nil {
		return err
	}
	client, err := kafka.New(c)
	if err != nil {
		return err
	}
	err = do(client)
	return errors.Join(err, client.Close())
}

// referenceLoad publishes the differences between dir and the log, tariffs before the locations that name them.
func referenceLoad(ctx context.Context, client *kafka.Client, cfg *config.Config, dir string, options referenceOptions, tell func(string)) error {
	wanted, err := readReference(dir, options, tell)
	if err != nil {
		return fmt.Errorf("nothing was published, %w", err)
	}
	topic := cfg.Kafka.ReferenceTopic
	ensure := client.CheckTopics
	if cfg.Kafka.CreateTopics {
		ensure = client.EnsureTopics
	}
	if _, err := ensure(ctx, []kafka.TopicSpec{kafka.ReferenceTopic(topic)}); err != nil {
		return err
	}
	published := publishedReference{current: map[string]string{}}
	if _, err := client.ReadLog(ctx, topic, 0, 0, published.put); err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	msgs, added, withdrawn, err := published.differences(wanted, options)
	if err != nil {
		return err
	}
	if err := reference.NoCardNumbers(msgs); err != nil {
		return err
	}
	published.list(msgs, tell)
	summary := fmt.Sprintf("%d tariffs and locations: %d new or changed, %d withdrawn", len(wanted), added, withdrawn)
	if options.dryRun {
		tell(summary + "; nothing was published")
		return nil
	}
	if len(msgs) > 0 {
		if !published.installed {
			key, err := newInstallation(options.by)
			if err != nil {
				return err
			}
			msgs = slices.Insert(msgs, 0, key)
		}
		if _, err := client.Producer().Produce(ctx, topic, 0, msgs); err != nil {
			return fmt.Errorf("publish to %s: %w; run it again, what is there is not published twice", topic, err)
		}
	}
	tell(summary)
	return nil
}

// publishedReference is what the log says now.
type publishedReference struct {
	current   map[string]string // by key: the object as it is written, "" when it was withdrawn
	installed bool
}

func (p *publishedReference) put(rec engine.Record) error {
	r, err := ocpi.DecodeReference(rec.Key, rec.Value)
	if err != nil {
		return fmt.Errorf("record %d: %w", rec.Offset, err)
	}
	switch r.Kind {
	case ocpi.ReferenceInstallation:
		p.installed = true
	case ocpi.ReferenceTariff, ocpi.ReferenceLocation:
		p.current[string(rec.Key)] = objectOf(&r)
	}
	return nil
}

// objectOf is what is compared: the object without who published it and when.
func objectOf(r *ocpi.Reference) string {
	switch {
	case r.Tariff != nil:
		return string(ocpi.AppendTariffJSON(nil, r.Tariff))
	case r.Location != nil:
		return string(ocpi.AppendLocationJSON(nil, r.Location))
	}
	return ""
}

// maxListed is how many changes are named: more than one reads is a flood.
const maxListed = 20

// list tells what msgs change.
func (p *publishedReference) list(msgs []engine.Message, tell func(string)) {
	for i, m := range msgs {
		if i == maxListed {
			tell(fmt.Sprintf("... and %d more", len(msgs)-maxListed))
			return
		}
		what := "new"
		switch {
		case m.Value == nil:
			what = "withdrawn"
		case p.current[string(m.Key)] != "":
			what = "changed"
		}
		tell(fmt.Sprintf("%-9s %s", what, m.Key))
	}
}

// differences are the records that make the log say what is wanted.
func (p *publishedReference) differences(wanted []ocpi.Reference, options referenceOptions) (msgs []engine.Message, added, withdrawn int, err error) {
	now := time.Now().UnixMilli()
	keep := map[string]bool{}
	for i := range wanted {
		r := &wanted[i]
		r.By, r.AtMs = options.by, now
		key, value, err := ocpi.AppendReference(nil, nil, r)
		if err != nil {
			return nil, 0, 0, err
		}
		keep[string(key)] = true
		if p.current[string(key)] != objectOf(r) {
			msgs = append(msgs, engine.Message{Key: key, Value: value, TimestampMs: now})
			added++
		}
	}
	if options.withdraw {
		var gone []string
		for key, object := range p.current {
			if object != "" && !keep[key] {
				gone = append(gone, key)
			}
		}
		slices.Sort(gone) // locations come before the tariffs that they name
		for _, key := range gone {
			msgs = append(msgs, engine.Message{Key: []byte(key), TimestampMs: now})
		}
		withdrawn = len(gone)
	}
	return msgs, added, withdrawn, nil
}

// referenceReader collects the objects of a folder and what is wrong with them.
type referenceReader struct {
	options referenceOptions
	tell    func(string)
	out     []ocpi.Reference
	from    map[string]string // by key: file and path it came from
	faults  []error
}

// readReference reads DIR/tariffs and DIR/locations. Warnings are told; faults are returned, all of them.
func readReference(dir string, options referenceOptions, tell func(string)) ([]ocpi.Reference, error) {
	r := &referenceReader{options: options, tell: tell, from: map[string]string{}}
	found := 0
	for _, folder := range []struct {
		name string
		read func(file string, src []byte)
	}{{"tariffs", r.tariffs}, {"locations", r.locations}} {
		root := filepath.Join(dir, folder.name)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains([]string{".json", ".yaml", ".yml"}, strings.ToLower(filepath.Ext(path))) {
				return err
			}
			src, err := os.ReadFile(path)
			if err == nil {
				found++
				folder.read(path, src)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("%s holds no file tariffs/* and no locations/* that ends in .json, .yaml or .yml", dir)
	}
	r.checkTariffIDs()
	r.checkEVSEs()
	switch len(r.faults) {
	case 0:
	case 1:
		return nil, fmt.Errorf("there is 1 fault:\n%w", r.faults[0])
	default:
		return nil, fmt.Errorf("there are %d faults:\n%w", len(r.faults), errors.Join(r.faults...))
	}
	return r.out, nil
}

// report tells warnings, notes faults and says whether there were none.
func (r *referenceReader) report(file string, report ocpi.Report) bool {
	for _, w := range report.Warnings {
		r.tell(fmt.Sprintf("%s: warning: %s", file, w))
	}
	for _, f := range report.Faults {
		r.faults = append(r.faults, fmt.Errorf("%s: %s", file, f))
	}
	return len(report.Faults) == 0
}

func (r *referenceReader) tariffs(file string, src []byte) {
	entries, report := ocpi.ParseTariffs(src)
	r.report(file, report)
	for _, e := range entries {
		if !r.report(file, e.Report) {
			continue
		}
		t := *e.Tariff
		if t.CountryCode == "" && t.PartyID == "" {
			t.CountryCode, t.PartyID = r.options.country, r.options.party
		}
		r.add(file, e.Path, ocpi.Reference{
			Kind: ocpi.ReferenceTariff, Tariff: &t, TariffKey: rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID},
		})
	}
}

func (r *referenceReader) locations(file string, src []byte) {
	entries, report := ocpi.ParseLocations(src, func(name string) error {
		_, err := rating.LoadZone(name)
		return err
	})
	r.report(file, report)
	for _, e := range entries {
		if !r.report(file, e.Report) {
			continue
		}
		l := *e.Location
		if l.CountryCode == "" && l.PartyID == "" {
			l.CountryCode, l.PartyID = r.options.country, r.options.party
		}
		r.add(file, e.Path, ocpi.Reference{
			Kind: ocpi.ReferenceLocation, Location: &l, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID},
		})
	}
}

func (r *referenceReader) add(file, path string, ref ocpi.Reference) {
	where := file
	if path != "" {
		where += ": " + path
	}
	key, _, err := ocpi.AppendReference(nil, nil, &ref)
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s: %w", where, err))
		return
	}
	if before, ok := r.from[string(key)]; ok {
		r.faults = append(r.faults, fmt.Errorf("%s: %s is in %s too", where, key, before))
		return
	}
	r.from[string(key)] = where
	r.out = append(r.out, ref)
}

// checkTariffIDs warns of connectors whose tariff is not in the folder: their sessions are held until it is published.
func (r *referenceReader) checkTariffIDs() {
	known, told := map[rating.TariffKey]bool{}, map[rating.TariffKey]bool{}
	for i := range r.out {
		if r.out[i].Tariff != nil {
			known[r.out[i].TariffKey] = true
		}
	}
	for i := range r.out {
		l := r.out[i].Location
		if l == nil {
			continue
		}
		for _, e := range l.EVSEs {
			for _, c := range e.Connectors {
				for _, id := range c.TariffIDs {
					key := rating.TariffKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: id}
					if !known[key] && !told[key] {
						told[key] = true
						r.tell(fmt.Sprintf("warning: location %s, EVSE %s: tariff %s is not in the folder", l.ID, e.UID, key))
					}
				}
			}
		}
	}
}

// checkEVSEs warns of what makes sessions be held: an EVSE that two locations claim, a connector without a tariff.
func (r *referenceReader) checkEVSEs() {
	owner := map[string]string{}
	for i := range r.out {
		l := r.out[i].Location
		if l == nil {
			continue
		}
		for _, e := range l.EVSEs {
			if before, ok := owner[e.UID]; ok {
				r.tell(fmt.Sprintf("warning: locations %s and %s both have EVSE %s", before, l.ID, e.UID))
			} else {
				owner[e.UID] = l.ID
			}
			for _, c := range e.Connectors {
				if len(c.TariffIDs) == 0 {
					r.tell(fmt.Sprintf("warning: location %s, EVSE %s, connector %s: there are no tariff_ids, its sessions have no price", l.ID, e.UID, c.ID))
				}
			}
		}
	}
}
