package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/contracts"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// keyring opens the configured keyset of pseudonyms, nil if none is.
func keyring(cfg *config.Config) (*pseudonym.Keyring, error) {
	switch t := &cfg.Tokens; {
	case !t.Keyset.Empty():
		k, err := pseudonym.Parse(t.Keyset)
		if err != nil {
			return nil, fmt.Errorf("tokens.keyset: %w", err)
		}
		return k, nil
	case keysetFile(cfg) != "":
		if _, err := os.Stat(keysetFile(cfg)); t.KeysetFile == "" && errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		k, err := pseudonym.Open(keysetFile(cfg))
		if err != nil {
			return nil, fmt.Errorf("tokens.keyset_file: %w", err)
		}
		return k, nil
	}
	return nil, nil
}

// keysetFile is where the keyset is: that of an embedded Kafka may lie in its folder. "" where the environment has it, or nobody.
func keysetFile(cfg *config.Config) string {
	switch t := &cfg.Tokens; {
	case !t.Keyset.Empty():
		return ""
	case t.KeysetFile != "" || len(cfg.Kafka.Brokers) > 0:
		return t.KeysetFile
	}
	return filepath.Join(cfg.DataDir, "tokens.json")
}

// tokensOf is keyring as an engine takes it.
func tokensOf(cfg *config.Config) (engine.Tokens, error) {
	k, err := keyring(cfg)
	if k == nil {
		return nil, err // not a nil Keyring in an interface
	}
	return k, err
}

func tokensNewKeyCommand() command {
	c := command{name: "tokens new-key", args: "[--config FILE] [--file FILE]", summary: "Make a key for pseudonyms of drivers' tokens, in a keyset file of this installation"}
	c.run = func(_ context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "The keyset file is made with mode 0600 if it is not there; else the key is added to those that it has. Nothing uses a new key\n"+
			"before `wattline tokens rotate`, or the first `wattline reference load` with contracts, names it in the reference log.\n"+
			"Give the file to every engine first. Exit: 0 made, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		keyset := fs.String("file", "", "the `file`; default: tokens.keyset_file")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		if *keyset == "" {
			cfg, ok := loadConfigFor(std, c.name, *file)
			if !ok {
				return exitFault
			}
			if *keyset = keysetFile(cfg); *keyset == "" {
				return wrong(std, c, "neither --file nor tokens.keyset_file says where")
			}
		}
		id, err := pseudonym.NewKey(*keyset)
		if err != nil {
			fmt.Fprintf(std.err, "wattline %s: %v\n", c.name, err)
			return exitFault
		}
		fmt.Fprintf(std.out, "key %d is in %s. Copy the file to every engine; then `wattline tokens rotate` begins to use it.\n", id, *keyset)
		return exitOK
	}
	return c
}

// withTokens reads what the reference log and the keyset say of keys, and hands both to do.
func withTokens(ctx context.Context, std stdio, c command, file string, do func(*kafka.Client, *config.Config, *pseudonym.Keyring, *contracts.Published) error) int {
	cfg, ok := loadConfigFor(std, c.name, file, "kafka")
	if !ok {
		return exitFault
	}
	keys, err := keyring(cfg)
	if err == nil && keys == nil {
		err = errors.New("no keyset is configured: tokens.keyset_file names one, `wattline tokens new-key` makes it")
	}
	if err == nil {
		err = withKafka(ctx, cfg, toolLogger(cfg, std.err), func(client *kafka.Client) error {
			published := contracts.NewPublished()
			topic := cfg.Kafka.ReferenceTopic
			if _, err := client.ReadLog(ctx, topic, 0, 0, func(r engine.Record) error { return published.Put(r.Key, r.Value) }); err != nil {
				return fmt.Errorf("read %s: %w", topic, err)
			}
			return do(client, cfg, keys, published)
		})
	}
	if err != nil {
		fmt.Fprintf(std.err, "wattline %s: %v\n", c.name, err)
		return exitFault
	}
	return exitOK
}

func tokensRotateCommand() command {
	c := command{name: "tokens rotate", args: "[--config FILE] [--by NAME]", summary: "Make pseudonyms with the newest key of the keyset from now on"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Publishes on the reference log which keys hold from there on: the newest one first, then the others of the keyset, by which\n"+
			"contracts that were loaded before are still found. Give every engine the keyset file first: one that lacks a key stops\n"+
			"there (docs/runbook/token-key-missing.md). Exit: 0 published or nothing to do, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		by := fs.String("by", whoami(), "`name` that is noted as the publisher")
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		return withTokens(ctx, std, c, *file, func(client *kafka.Client, cfg *config.Config, keys *pseudonym.Keyring, p *contracts.Published) error {
			ids := keys.IDs()
			if p.Keys != nil && slices.Equal(p.Keys.IDs, ids) {
				fmt.Fprintf(std.out, "key %d is used already; `wattline tokens new-key` makes another\n", ids[0])
				return nil
			}
			if p.Keys != nil {
				for _, id := range p.Keys.IDs {
					if !keys.Has(id) {
						return fmt.Errorf("the keyset lacks key %d, which contracts stand under: take the file that has all of them", id)
					}
				}
			}
			msg, err := reflog.Message(&ocpi.Reference{Kind: ocpi.ReferenceTokens, TokenKeys: &rating.TokenKeys{Primary: ids[0], IDs: ids}}, *by, time.Now().UnixMilli())
			if err != nil {
				return err
			}
			if _, err := client.Producer().Produce(ctx, cfg.Kafka.ReferenceTopic, 0, []engine.Message{msg}); err != nil {
				return fmt.Errorf("publish to %s: %w", cfg.Kafka.ReferenceTopic, err)
			}
			fmt.Fprintf(std.out, "key %d makes the pseudonyms of sessions that begin from now on\n", ids[0])
			return nil
		})
	}
	return c
}

func tokensListCommand() command {
	c := command{name: "tokens list", args: "[--config FILE]", summary: "List the keys of pseudonyms: of the keyset, and of the reference log"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Newest first. Exit: 0 listed, 1 a fault or a key that is missing here, 2 a wrong command line.")
		file := configFlag(fs)
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		return withTokens(ctx, std, c, *file, func(_ *kafka.Client, _ *config.Config, keys *pseudonym.Keyring, p *contracts.Published) error {
			used := []uint32(nil)
			if p.Keys != nil {
				used = p.Keys.IDs
			}
			for _, id := range keys.IDs() {
				state := "finds contracts that were loaded before"
				switch slices.Index(used, id) {
				case -1:
					state = "not used yet: `wattline tokens rotate`"
				case 0:
					state = "primary: makes the pseudonyms of new sessions"
				}
				fmt.Fprintf(std.out, "%10d  %s\n", id, state)
			}
			missing := slices.DeleteFunc(slices.Clone(used), keys.Has)
			for _, id := range missing {
				fmt.Fprintf(std.out, "%10d  MISSING in the keyset: an engine without it stops\n", id)
			}
			if len(missing) > 0 {
				return fmt.Errorf("the keyset lacks %d keys of the reference log", len(missing))
			}
			return nil
		})
	}
	return c
}

func tokensPseudonymCommand() command {
	c := command{name: "tokens pseudonym", args: "[--config FILE] < TOKENS", summary: "Print the pseudonyms of tokens, to find a driver's sessions"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "Reads tokens from the standard input, one a line, so that they are in no history and no list of processes. Prints a line a token and\n"+
			"key: token_key_id and token_pseudonym, as the tables have them. Exit: 0 printed, 1 a fault, 2 a wrong command line.")
		file := configFlag(fs)
		rest, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(rest) > 0 {
			return wrong(std, c, "a token is read from the standard input, not from the command line")
		}
		cfg, ok := loadConfigFor(std, c.name, *file)
		if !ok {
			return exitFault
		}
		keys, err := keyring(cfg)
		if err == nil && keys == nil {
			err = errors.New("no keyset is configured: tokens.keyset_file names one")
		}
		lines := bufio.NewScanner(std.in)
		for err == nil && ctx.Err() == nil && lines.Scan() {
			if token := strings.TrimSpace(lines.Text()); token != "" && len(token) <= 255 {
				for _, id := range keys.IDs() {
					fmt.Fprintf(std.out, "%d %s\n", id, rating.Pseudonym{KeyID: id, Value: keys.Pseudonym(id, []byte(token))})
				}
			}
		}
		if err = errors.Join(err, lines.Err()); err != nil {
			fmt.Fprintf(std.err, "wattline %s: %v\n", c.name, err)
			return exitFault
		}
		return exitOK
	}
	return c
}
