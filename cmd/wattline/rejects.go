package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/rejects"
)

// sealing lets rejects leave sealed, or without their messages where no key is configured.
func sealing(cfg *config.Config, to engine.Producer) (engine.Producer, error) {
	var public *rejects.Public
	if cfg.Rejects.PublicKey != "" {
		var err error
		if public, err = rejects.ReadPublic(cfg.Rejects.PublicKey); err != nil {
			return nil, fmt.Errorf("rejects.public_key_file: %w (`wattline rejects new-key` makes it)", err)
		}
	}
	p := rejects.NewProducer(to, cfg.Kafka.RejectsTopic, public)
	p.TooLarge = func(err error) bool {
		return errors.Is(err, kafkago.MessageSizeTooLarge) || errors.Is(err, kafkago.RecordListTooLarge)
	}
	return p, nil
}

// rejectFilter are the flags that choose rejects.
type rejectFilter struct {
	since  string
	reason string
	topic  string
	fromMs int64
}

func (f *rejectFilter) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.since, "since", "", "only of messages since then: a `time` in RFC 3339, or a duration before now, as 24h")
	fs.StringVar(&f.reason, "reason", "", "only with this `text` in the reason")
	fs.StringVar(&f.topic, "topic", "", "only of this `topic` of readings")
}

// parse says what is wrong with the flags; "" for nothing.
func (f *rejectFilter) parse(now time.Time) string {
	if f.since == "" {
		return ""
	}
	if d, err := time.ParseDuration(f.since); err == nil && d >= 0 {
		f.fromMs = now.Add(-d).UnixMilli()
		return ""
	}
	at, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return fmt.Sprintf("--since %q is neither a time as 2026-01-31T08:00:00Z nor a duration as 24h", f.since)
	}
	f.fromMs = at.UnixMilli()
	return ""
}

func (f *rejectFilter) takes(r *reject.Record) bool {
	return r.AtMs >= f.fromMs && strings.Contains(r.Reason, f.reason) && (f.topic == "" || r.Topic == f.topic)
}

func (f *rejectFilter) given() bool { return f.since != "" || f.reason != "" || f.topic != "" }

func rejectsListCommand() command {
	c := command{name: "rejects list", args: "[--config FILE] [--since TIME] [--reason TEXT] [--topic TOPIC] [--count | --json]", summary: "List what could not be used, and why"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "A line for each reject that the topic still has: id, time of the message, reason. --count: how many of each reason.\n"+
			"What the messages said is not shown: see `wattline rejects show`. Exit: 0, 1 failed, 2 a wrong command line.")
		file := configFlag(fs)
		var f rejectFilter
		f.flags(fs)
		count := fs.Bool("count", false, "count by topic and reason; numbers in reasons do not tell them apart")
		asJSON := fs.Bool("json", false, "JSON lines")
		return withRejects(ctx, std, c, fs, file, args, 0, &f, func(t *rejects.Topic, _ *kafka.Client, _ *config.Config, _ []string) error {
			l := rejectList{out: std.out, json: *asJSON, counts: map[[2]string]*rejectCount{}, count: *count, lines: map[reject.Coordinates]bool{}}
			foreign, err := t.Each(ctx, func(r reject.Record) error {
				if r.Retried != nil || f.takes(&r) {
					return l.add(&r)
				}
				return nil
			})
			if foreign > 0 {
				fmt.Fprintf(std.err, "%d records on %s are no rejects of ours\n", foreign, t.Name)
			}
			return errors.Join(err, l.end())
		})
	}
	return c
}

// withRejects does it with the rejects topic. atLeast is how many arguments there must be at least; 0: none may be.
func withRejects(ctx context.Context, std stdio, c command, fs *flag.FlagSet, file *string, args []string, atLeast int, f *rejectFilter,
	do func(t *rejects.Topic, client *kafka.Client, cfg *config.Config, rest []string) error,
) int {
	rest, code, ok := parseFlags(fs, args)
	if !ok {
		return code
	}
	if problem := f.parse(time.Now()); problem != "" {
		return wrong(std, c, "%s", problem)
	}
	switch {
	case atLeast == 0 && len(rest) > 0:
		return wrong(std, c, "there is no argument %q", rest[0])
	case len(rest) < atLeast && !f.given():
		return wrong(std, c, "give the ID of a reject, as `wattline rejects list` shows it")
	}
	cfg, ok := loadConfigFor(std, c.name, *file, "kafka")
	if !ok {
		return exitFault
	}
	err := withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
		return do(&rejects.Topic{Logs: client, Name: cfg.Kafka.RejectsTopic}, client, cfg, rest)
	})
	if err != nil {
		fmt.Fprintf(std.err, "wattline %s: %v\n", c.name, err)
		return exitFault
	}
	return exitOK
}

// rejectList writes rejects, or counts them.
type rejectList struct {
	out    io.Writer
	json   bool
	count  bool
	counts map[[2]string]*rejectCount
	lines  map[reject.Coordinates]bool // shown
}

type rejectCount struct {
	n            int64
	newestMs     int64
	topic, group string
	example      string
}

func (l *rejectList) add(r *reject.Record) error {
	id := string(r.AppendKey(nil))
	switch {
	case r.Retried != nil && !l.lines[r.Coordinates]:
		return nil
	case r.Retried != nil && l.json:
		return l.encode(map[string]any{"id": id, "retried": r.Retried})
	case r.Retried != nil:
		_, err := fmt.Fprintf(l.out, "%s  sent again %s by %s as %s/%d/%d\n", id, rejectTime(r.Retried.AtMs), r.Retried.By, r.Retried.Topic, r.Retried.Partition, r.Retried.Offset)
		return err
	case l.count:
		key := [2]string{r.Topic, withoutNumbers(r.Reason)}
		if l.counts[key] == nil {
			l.counts[key] = &rejectCount{topic: r.Topic, group: key[1], example: id}
		}
		l.counts[key].n++
		l.counts[key].newestMs = max(l.counts[key].newestMs, r.AtMs)
		return nil
	}
	l.lines[r.Coordinates] = true
	if l.json {
		return l.encode(map[string]any{"id": id, "at_ms": r.AtMs, "reason": r.Reason, "key_id": r.KeyID})
	}
	_, err := fmt.Fprintf(l.out, "%s  %s  %s\n", id, rejectTime(r.AtMs), r.Reason)
	return err
}

func (l *rejectList) encode(v any) error { return json.NewEncoder(l.out).Encode(v) }

// end writes the counts, the most first.
func (l *rejectList) end() error {
	var list []*rejectCount
	for _, c := range l.counts {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *rejectCount) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.topic, b.topic), cmp.Compare(a.group, b.group))
	})
	for _, c := range list {
		var err error
		if l.json {
			err = l.encode(map[string]any{"count": c.n, "topic": c.topic, "reason": c.group, "newest_ms": c.newestMs, "example": c.example})
		} else {
			_, err = fmt.Fprintf(l.out, "%8d  %s  newest %s  %s  such as %s\n", c.n, c.topic, rejectTime(c.newestMs), c.group, c.example)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withoutNumbers puts # for numbers, so that reasons that differ in figures only are one.
func withoutNumbers(reason string) string {
	var b strings.Builder
	for i := range len(reason) {
		c := reason[i]
		if c < '0' || c > '9' {
			b.WriteByte(c)
		} else if i == 0 || reason[i-1] < '0' || reason[i-1] > '9' {
			b.WriteByte('#')
		}
	}
	return b.String()
}

func rejectTime(ms int64) string {
	if ms == 0 {
		return "at an unknown time"
	}
	return instant(ms)
}

// privateKeys reads the keys that open rejects: those given, configured, or of a demo in its folder. nil: there are none.
func privateKeys(cfg *config.Config, file string) (*rejects.Private, error) {
	if file = cmp.Or(file, cfg.Rejects.PrivateKey); file == "" {
		file, _ = demoRejectsKey(cfg)
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil, nil //nolint:nilnil // without keys the readings topic may still have the message
		}
	}
	return rejects.ReadPrivate(file)
}

// demoRejectsKey are the files of the demo's key.
func demoRejectsKey(cfg *config.Config) (private, public string) {
	return filepath.Join(cfg.DataDir, "rejects.key"), filepath.Join(cfg.DataDir, "rejects.pub")
}

func rejectsShowCommand() command {
	c := command{name: "rejects show", args: "[--config FILE] [--key FILE] [--raw] ID...", summary: "Show the messages of rejects as they came"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "The message is opened with the private key, or read from its topic while that has it. It may hold a driver's token: who\n"+
			"looked at which is logged. Exit: 0 shown, 1 failed, 2 a wrong command line.")
		file := configFlag(fs)
		key := fs.String("key", "", "`file` of private keys; default: rejects.private_key_file")
		raw := fs.Bool("raw", false, "write the message's bytes and nothing else")
		return withRejects(ctx, std, c, fs, file, args, 1, &rejectFilter{}, func(t *rejects.Topic, _ *kafka.Client, cfg *config.Config, ids []string) error {
			keys, err := privateKeys(cfg, *key)
			if err != nil {
				return err
			}
			found, err := t.Find(ctx, ids)
			if err != nil {
				return err
			}
			log := newLogger(cfg, std.err)
			var errs []error
			for i := range found {
				o, from, err := t.Message(ctx, &found[i], keys)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", ids[i], err))
					continue
				}
				log.Info("rejected message shown", "id", ids[i], "to", whoami(), "from", from)
				if *raw {
					_, err = std.out.Write(o.Value)
				} else {
					_, err = io.WriteString(std.out, rejectText(ids[i], &found[i], &o, from))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
	}
	return c
}

// rejectText is a reject for people.
func rejectText(id string, f *rejects.Found, o *reject.Original, from string) string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s%s\n", what, fmt.Sprintf(format, args...))
	}
	reason := f.Reject.Reason
	if f.Message.Index == f.Reject.Index && o.Reason != "" {
		reason = o.Reason
	}
	line("id", "%s", id)
	line("time", "%s", rejectTime(f.Reject.AtMs))
	line("reason", "%s", reason)
	for _, r := range f.Retries {
		line("sent again", "%s by %s as %s/%d/%d", rejectTime(r.AtMs), r.By, r.Topic, r.Partition, r.Offset)
	}
	line("from", "%s", from)
	if o.ContentType != nil {
		line("content-type", "%q", o.ContentType)
	}
	line("key", "%q", o.Key)
	line("bytes", "%d", o.Size)
	if utf8.Valid(o.Value) && !strings.ContainsFunc(string(o.Value), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }) {
		b.Write(o.Value)
		b.WriteByte('\n')
	} else {
		b.WriteString(hex.Dump(o.Value))
	}
	return b.String()
}

func rejectsRetryCommand() command {
	c := command{name: "rejects retry", args: "[--config FILE] [--key FILE] [--again] [--dry-run] (ID... | --reason TEXT | --since TIME | --topic TOPIC)", summary: "Send the messages of rejects to their topics again, as they were"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "For after what was wrong is mended: a format that is configured by now, a newer release. A message goes to its own topic\n"+
			"and partition with its key, header, timestamp and bytes, and a note of it to the rejects topic, so that the next\n"+
			"retry leaves it out. Its other readings, which were rated, count as repeated. Exit: 0 sent, 1 failed, 2 a wrong\ncommand line.")
		file := configFlag(fs)
		var f rejectFilter
		f.flags(fs)
		key := fs.String("key", "", "`file` of private keys; default: rejects.private_key_file")
		again := fs.Bool("again", false, "send also what was sent again before")
		dry := fs.Bool("dry-run", false, "say what would be sent, and send nothing")
		return withRejects(ctx, std, c, fs, file, args, 1, &f, func(t *rejects.Topic, client *kafka.Client, cfg *config.Config, ids []string) error {
			keys, err := privateKeys(cfg, *key)
			if err != nil {
				return err
			}
			if ids, err = chosen(ctx, t, &f, ids); err != nil {
				return err
			}
			found, err := t.Find(ctx, ids)
			if err != nil {
				return err
			}
			r := &rejects.Retrying{Topic: t, Producer: client.Producer(), Keys: keys, By: whoami(), Now: time.Now, Again: *again}
			return retryAll(ctx, std, r, ids, found, *dry)
		})
	}
	return c
}

// chosen are the ids given, else those that the filter takes: one for each message.
func chosen(ctx context.Context, t *rejects.Topic, f *rejectFilter, ids []string) ([]string, error) {
	if len(ids) > 0 {
		return ids, nil
	}
	seen := map[reject.Coordinates]bool{}
	_, err := t.Each(ctx, func(r reject.Record) error {
		message := r.Coordinates
		message.Index = 0
		if r.Retried == nil && f.takes(&r) && !seen[message] {
			seen[message] = true
			ids = append(ids, string(r.AppendKey(nil)))
		}
		return nil
	})
	return ids, err
}

func retryAll(ctx context.Context, std stdio, r *rejects.Retrying, ids []string, found []rejects.Found, dry bool) error {
	var errs []error
	done, before := 0, 0
	sent := map[reject.Coordinates]bool{}
	for i := range found {
		message := found[i].Reject.Coordinates
		message.Index = 0
		if sent[message] {
			continue // another reading of it
		}
		sent[message] = true
		if dry {
			fmt.Fprintf(std.out, "%s  %s\n", ids[i], found[i].Reject.Reason)
			continue
		}
		got, err := r.Do(ctx, &found[i])
		switch {
		case errors.Is(err, rejects.ErrRetried):
			before++
			fmt.Fprintf(std.err, "%s: %v; --again sends it once more\n", ids[i], err)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", ids[i], err))
		default:
			done++
			fmt.Fprintf(std.out, "%s  sent again as %s/%d/%d\n", ids[i], got.Topic, got.Partition, got.Offset)
		}
	}
	if !dry {
		fmt.Fprintf(std.err, "%d sent again, %d had been before, %d failed\n", done, before, len(errs))
	}
	return errors.Join(errs...)
}

func rejectsNewKeyCommand() command {
	c := command{name: "rejects new-key", args: "[--private FILE] [--public FILE]", summary: "Make the key that seals rejected messages"}
	c.run = func(_ context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "The private key is appended to its file, so that older rejects can still be opened; keep it away from the engines. The\n"+
			"public one replaces its file: give it to every engine as rejects.public_key_file, which is read at the start.")
		private := fs.String("private", "rejects.key", "`file` of the private keys")
		public := fs.String("public", "rejects.pub", "`file` of the public key")
		rest, code, ok := parseFlags(fs, args)
		switch {
		case !ok:
			return code
		case len(rest) > 0:
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		id, err := rejects.NewKey(*private, *public, time.Now())
		if err != nil {
			fmt.Fprintf(std.err, "wattline rejects new-key: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "key %s\nprivate %s\npublic %s\n", id, *private, *public)
		return exitOK
	}
	return c
}
