package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/rating"
)

const adoptHelp = `An engine that cannot know where to go on halts: its group has no commit of ours though ClickHouse has rows, messages
were deleted unread, a topic was made anew. adopt writes the commit from which it goes on. It needs all engines of the
group stopped, and kafka.session_timeout to have passed since (Kafka refuses it otherwise).

What you accept with it, for this partition:
  - sessions that ran there are forgotten. Their next reading opens them again (flag no_start); the energy since the last
    row written is in neither. Their old rows and versions stay.
  - messages between the last block in ClickHouse and the offset chosen are never rated. They are counted below.
  - sessions that waited for their charger or tariff are lost with their readings.

--from last-block   behind the newest block of the partition in ClickHouse: nothing is rated twice, nothing left out
--from log-start    the first message that Kafka still has
--from OFFSET       that message. Below the end of the newest block rows would count twice: refused.

Without --yes it only says what it would do. Exit: 0 done (or said), 1 failed, 2 a wrong command line.`

// adoption is what adopt is asked for.
type adoption struct {
	partition engine.Partition
	from      string
	yes       bool
}

func adoptCommand() command {
	c := command{name: "adopt", args: "[--config FILE] --topic T --partition N [--from last-block] [--yes]", summary: "Say where a halted partition goes on, and accept what that loses"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, adoptHelp)
		file := configFlag(fs)
		topic := fs.String("topic", "", "`name` of the readings topic")
		number := fs.Int("partition", -1, "`number` of the partition")
		a := adoption{}
		fs.StringVar(&a.from, "from", "last-block", "`where` to go on: last-block, log-start or an offset")
		fs.BoolVar(&a.yes, "yes", false, "do it")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		switch _, err := strconv.ParseUint(a.from, 10, 63); {
		case len(rest) > 0:
			return wrong(std, c, "there is no argument %q", rest[0])
		case *topic == "":
			return wrong(std, c, "--topic is missing")
		case *number == -1:
			return wrong(std, c, "--partition is missing")
		case *number < 0 || *number > math.MaxInt32:
			return wrong(std, c, "--partition %d is not a number of a partition", *number)
		case err != nil && a.from != "last-block" && a.from != "log-start":
			return wrong(std, c, "--from %s is neither last-block nor log-start nor an offset", a.from)
		}
		a.partition = engine.Partition{Topic: *topic, Number: int32(*number)}
		cfg, ok := loadConfig(std, c.name, *file)
		if !ok {
			return exitFault
		}
		n, err := newNode(cfg, toolLogger(cfg, std.err), parts.Printer(std.err), nil)
		if err == nil {
			n.noAPI = true
			err = n.adopt(ctx, std, a)
			err = errors.Join(err, n.stopInTime())
		}
		if err != nil {
			fmt.Fprintf(std.err, "wattline adopt: %v\n", err)
			return exitFault
		}
		return exitOK
	}
	return c
}

func (n *node) adopt(ctx context.Context, std stdio, a adoption) error {
	known := false
	for _, r := range n.cfg.Kafka.Readings {
		known = known || r.Topic == a.partition.Topic
	}
	if !known {
		return fmt.Errorf("%s is none of kafka.readings", a.partition.Topic)
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	raw := n.rawKafka()
	place, err := n.adoptionPlace(ctx, raw, a)
	if err != nil {
		return err
	}
	tokens, err := tokensOf(n.cfg)
	if err != nil {
		return err
	}
	ref := engine.NewReference(reference.Decode, tokens)
	if err := ref.Follow(ctx, n.client, n.cfg.Kafka.ReferenceTopic); err != nil {
		return err
	}
	m := engine.Metadata{RatingVersion: rating.RatingVersion, Books: []engine.BookChange{{From: place.offset, Book: ref.Next()}}}
	fmt.Fprint(std.out, place.text(a.partition))
	if !a.yes {
		fmt.Fprintln(std.out, "Nothing was done. With --yes it is; wattline help adopt says what you accept.")
		return nil
	}
	if err := commitOutside(ctx, raw, n.cfg, a.partition, place.offset, string(engine.AppendMetadata(nil, &m))); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "Done: %s goes on at offset %d.\n", a.partition, place.offset)
	return nil
}

// place is where a partition would go on, and what is around it.
type place struct {
	start, end int64 // of the log
	committed  int64 // -1: nothing
	ours       bool  // an engine can go on from the commit
	blocks     bool
	next       int64 // behind the newest block, if there are blocks
	offset     int64
}

func (p *place) text(of engine.Partition) string {
	text := fmt.Sprintf("%s: the log has offsets %d to %d.\n", of, p.start, p.end-1)
	switch {
	case p.ours:
		text += fmt.Sprintf("The group's commit is %d and an engine's own: adopt only if the engine halts on it.\n", p.committed)
	case p.committed >= 0:
		text += fmt.Sprintf("The group's commit is %d, not an engine's.\n", p.committed)
	default:
		text += "The group has no commit of it.\n"
	}
	left := p.offset - p.start
	if p.blocks {
		text += fmt.Sprintf("ClickHouse has blocks up to offset %d.\n", p.next-1)
		left = p.offset - p.next
	} else {
		text += "ClickHouse has no block of it.\n"
	}
	return text + fmt.Sprintf("It goes on at offset %d; %d messages before it are not rated, %d are waiting.\n", p.offset, left, p.end-p.offset)
}

func (n *node) adoptionPlace(ctx context.Context, raw *kafkago.Client, a adoption) (*place, error) {
	p := &place{}
	var err error
	if err = p.ask(ctx, raw, n.cfg, a.partition); err != nil {
		return nil, err
	}
	last, has, err := n.store.LastBlock(ctx, a.partition)
	if err != nil {
		return nil, err
	}
	if p.blocks = has; has {
		p.next = last.Last + 1
	}
	switch a.from {
	case "last-block":
		if !has {
			return nil, fmt.Errorf("ClickHouse has no block of %s: choose --from log-start or an offset", a.partition)
		}
		p.offset = p.next
	case "log-start":
		p.offset = p.start
	default:
		if p.offset, err = strconv.ParseInt(a.from, 10, 64); err != nil {
			return nil, fmt.Errorf("--from %s is neither last-block nor log-start nor an offset", a.from)
		}
	}
	switch {
	case p.offset < p.start:
		return nil, fmt.Errorf("offset %d is below the log's start %d: %d messages are gone; --from log-start accepts that", p.offset, p.start, p.start-p.offset)
	case p.offset > p.end:
		return nil, fmt.Errorf("offset %d is beyond the log's end %d: was the topic made anew? Give it a new name, so that its offsets are not taken for the old ones", p.offset, p.end)
	case has && p.offset < p.next:
		return nil, fmt.Errorf("offset %d is below %d, up to which ClickHouse has rows: they would count twice", p.offset, p.next)
	}
	return p, nil
}

// rawKafka is a plain client: what adopt does is done from outside the group.
func (n *node) rawKafka() *kafkago.Client {
	return &kafkago.Client{Addr: kafkago.TCP(n.brokers...), Timeout: n.cfg.Kafka.RequestTimeout, Transport: n.client.NewTransport()}
}

// ask asks for the bounds of a partition and the group's commit.
func (p *place) ask(ctx context.Context, raw *kafkago.Client, cfg *config.Config, of engine.Partition) error {
	number := int(of.Number)
	list, err := raw.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
		of.Topic: {kafkago.FirstOffsetOf(number), kafkago.LastOffsetOf(number)},
	}})
	if err == nil {
		for _, o := range list.Topics[of.Topic] {
			if o.Partition == number {
				p.start, p.end, err = o.FirstOffset, o.LastOffset, o.Error
			}
		}
	}
	if err != nil {
		return fmt.Errorf("ask where %s begins and ends: %w", of, err)
	}
	p.committed = -1
	fetched, err := raw.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: cfg.Kafka.Group, Topics: map[string][]int{of.Topic: {number}}})
	if err == nil {
		err = fetched.Error
	}
	if errors.Is(err, kafkago.GroupIdNotFound) {
		return nil
	}
	if err == nil {
		for _, o := range fetched.Topics[of.Topic] {
			if o.Partition == number {
				_, notOurs := engine.ParseMetadata(o.Metadata)
				p.committed, p.ours, err = o.CommittedOffset, notOurs == nil, o.Error
			}
		}
	}
	if err != nil {
		return fmt.Errorf("ask for the commit of group %s: %w", cfg.Kafka.Group, err)
	}
	return nil
}

// commitOutside stores a commit as nobody's member: Kafka takes it only while the group is empty.
func commitOutside(ctx context.Context, raw *kafkago.Client, cfg *config.Config, p engine.Partition, offset int64, metadata string) error {
	res, err := raw.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
		GroupID: cfg.Kafka.Group, GenerationID: -1, Topics: map[string][]kafkago.OffsetCommit{p.Topic: {{Partition: int(p.Number), Offset: offset, Metadata: metadata}}},
	})
	if err == nil {
		for _, o := range res.Topics[p.Topic] {
			err = errors.Join(err, o.Error)
		}
	}
	if errors.Is(err, kafkago.UnknownMemberId) || errors.Is(err, kafkago.IllegalGeneration) || errors.Is(err, kafkago.RebalanceInProgress) {
		return fmt.Errorf("an engine of group %s still runs: stop all of them and wait %s (kafka.session_timeout): %w", cfg.Kafka.Group, cfg.Kafka.SessionTimeout, err)
	}
	if err != nil {
		return fmt.Errorf("commit offset %d of %s: %w", offset, p, err)
	}
	return nil
}
