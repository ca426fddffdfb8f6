package reflog

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/contracts"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/rating/ocpi"
)

// Options say how a folder is published.
type Options struct {
	Withdraw       bool // what is published and not in the folder
	DryRun         bool
	Rekey          bool                  // contracts under an older key move to the first
	Country, Party string                // of objects that have none
	By             string                // who publishes
	Progress       func(done, all int64) // of contracts; may be nil

	folders []string // that the folder read has
}

// Log is a reference log: its topic, and what reads and writes it.
type Log struct {
	Topic    string
	Reader   engine.LogReader
	Producer engine.Producer
}

// Load publishes the differences between dir and the log: what is named before what names it. keys may be nil where dir
// has no contracts. tell is told what changes, and last a summary. Errors: faults of dir, all of
// them, and then nothing was published; those of the log.
func Load(ctx context.Context, log Log, keys *pseudonym.Keyring, dir string, options Options, tell func(string)) error {
	wanted, err := readFolder(dir, &options, tell)
	if err != nil {
		return fmt.Errorf("nothing was published, %w", err)
	}
	published := newPublished()
	if _, err := log.Reader.ReadLog(ctx, log.Topic, 0, 0, published.put); err != nil {
		return fmt.Errorf("read %s: %w", log.Topic, err)
	}
	msgs, added, withdrawn, err := published.differences(wanted.objects, options)
	if err != nil {
		return err
	}
	if err := reference.NoCardNumbers(msgs); err != nil {
		return err
	}
	load, first, err := published.contractsOf(ctx, keys, wanted, options)
	if err != nil {
		return fmt.Errorf("nothing was published, %w", err)
	}
	published.list(msgs, tell)
	send := func(msgs []engine.Message) error {
		if options.DryRun || len(msgs) == 0 {
			return nil
		}
		if _, err := log.Producer.Produce(ctx, log.Topic, 0, msgs); err != nil {
			return fmt.Errorf("publish to %s: %w; run it again, what is there is not published twice", log.Topic, err)
		}
		return nil
	}
	msgs = append(first, msgs...)
	if len(msgs)+int(load.rows) > 0 && !published.installed {
		key, err := Installation(options.By)
		if err != nil {
			return err
		}
		msgs = slices.Insert(msgs, 0, key)
	}
	if err := send(msgs); err != nil {
		return err
	}
	if err := load.publish(ctx, send); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d tariffs and locations: %d new or changed, %d withdrawn", len(wanted.objects), added, withdrawn)
	if wanted.hasContracts {
		summary += fmt.Sprintf("; %d contracts: %d new or changed, %d withdrawn", load.rows, load.added, load.withdrawn)
	}
	if options.DryRun {
		summary += "; nothing was published"
	}
	tell(summary)
	return nil
}

// contractsOf reads the contracts of a folder for their faults. first is to be published before them.
func (p *published) contractsOf(ctx context.Context, keys *pseudonym.Keyring, wanted *folder, options Options) (load *contractLoad, first []engine.Message, err error) {
	load = &contractLoad{files: wanted.contracts, keys: keys, published: p.contracts, options: options}
	load.options.Withdraw = options.Withdraw && wanted.hasContracts
	if len(load.files) == 0 {
		return load, nil, nil
	}
	if first, err = load.begin(); err != nil {
		return nil, nil, err
	}
	return load, first, load.check(ctx)
}

// published is what the log says now.
type published struct {
	current   map[string]string // by key: the object as it is written, "" when it was withdrawn
	contracts *contracts.Published
	installed bool
}

func newPublished() *published {
	return &published{current: map[string]string{}, contracts: contracts.NewPublished()}
}

func (p *published) put(rec engine.Record) error {
	if err := p.contracts.Put(rec.Key, rec.Value); err != nil {
		return fmt.Errorf("record %d: %w", rec.Offset, err)
	}
	if strings.HasPrefix(string(rec.Key), string(ocpi.ReferenceContract)+"/") {
		return nil
	}
	r, err := ocpi.DecodeReference(rec.Key, rec.Value)
	if err != nil {
		return fmt.Errorf("record %d: %w", rec.Offset, err)
	}
	switch r.Kind {
	case ocpi.ReferenceInstallation:
		p.installed = true
	case ocpi.ReferenceTariff, ocpi.ReferenceLocation, ocpi.ReferenceTier, ocpi.ReferenceDefault:
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
	case r.Tier != nil:
		return string(ocpi.AppendTierJSON(nil, r.Tier))
	case r.Default != nil:
		return string(ocpi.AppendDefaultJSON(nil, r.Default))
	}
	return ""
}

// maxListed is how many changes are named: more than one reads is a flood.
const maxListed = 20

// list tells what msgs change.
func (p *published) list(msgs []engine.Message, tell func(string)) {
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
func (p *published) differences(wanted []ocpi.Reference, options Options) (msgs []engine.Message, added, withdrawn int, err error) {
	now := time.Now().UnixMilli()
	keep := map[string]bool{}
	for i := range wanted {
		r := &wanted[i]
		msg, err := Message(r, options.By, now)
		if err != nil {
			return nil, 0, 0, err
		}
		keep[string(msg.Key)] = true
		if p.current[string(msg.Key)] != objectOf(r) {
			msgs = append(msgs, msg)
			added++
		}
	}
	if options.Withdraw {
		var gone []string
		for key, object := range p.current {
			if kind, _, _ := strings.Cut(key, "/"); object != "" && !keep[key] && options.holds(kind) {
				gone = append(gone, key)
			}
		}
		slices.Sort(gone) // defaults and locations come before the tariffs that they name
		for _, key := range gone {
			msgs = append(msgs, engine.Message{Key: []byte(key), TimestampMs: now, ContentType: withdrawnBy + options.By})
		}
		withdrawn = len(gone)
	}
	return msgs, added, withdrawn, nil
}

// holds says whether what is not in the folder is withdrawn, of a kind of which the folder has files or not.
func (o *Options) holds(kind string) bool {
	switch ocpi.ReferenceKind(kind) {
	case ocpi.ReferenceTier, ocpi.ReferenceDefault:
		return slices.Contains(o.folders, kind+"s")
	}
	return true
}

// Installation makes the record that keys the sessions' ids: the first of a reference log.
func Installation(by string) (engine.Message, error) {
	r := ocpi.Reference{Kind: ocpi.ReferenceInstallation}
	if _, err := rand.Read(r.HashKey[:]); err != nil {
		return engine.Message{}, err
	}
	return Message(&r, by, time.Now().UnixMilli())
}

// Records are those that Load would publish of a folder to an empty log, but for the installation, whose hash key is zero: the
// same folder gives the same session ids everywhere.
func Records(ctx context.Context, dir string, keys *pseudonym.Keyring, options Options, tell func(string)) (log []engine.Message, err error) {
	wanted, err := readFolder(dir, &options, tell)
	if err != nil {
		return nil, err
	}
	for _, r := range append([]ocpi.Reference{{Kind: ocpi.ReferenceInstallation}}, wanted.objects...) {
		key, value, err := ocpi.AppendReference(nil, nil, &r)
		if err != nil {
			return nil, err
		}
		log = append(log, engine.Message{Key: key, Value: value})
	}
	load, first, err := newPublished().contractsOf(ctx, keys, wanted, options)
	if err == nil {
		log = append(log, first...)
		err = load.publish(ctx, func(msgs []engine.Message) error { log = append(log, msgs...); return nil })
	}
	return log, err
}
