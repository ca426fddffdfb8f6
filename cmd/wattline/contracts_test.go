package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/book"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/loadgen"
)

// write puts a file into the folder.
func (s *referenceScene) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// withKeyset makes a keyset with one key, and returns its id.
func (s *referenceScene) withKeyset() uint32 {
	s.t.Helper()
	s.cfg.Tokens.KeysetFile = filepath.Join(s.t.TempDir(), "tokens.json")
	id, err := pseudonym.NewKey(s.cfg.Tokens.KeysetFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// engine asks an engine's Reference, which has followed the log.
func (s *referenceScene) engine(do func(*engine.Reference, *pseudonym.Keyring) error) {
	s.t.Helper()
	keys, err := keyring(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	err = withKafka(s.t.Context(), s.cfg, slog.New(slog.DiscardHandler), func(client *kafka.Client) error {
		ref := engine.NewReference(reference.Decode, keys)
		if err := ref.Follow(s.t.Context(), client, s.cfg.Kafka.ReferenceTopic); err != nil {
			return err
		}
		return do(ref, keys)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

const (
	memberToken = "04LEAKED01A2B3"
	goneToken   = "04LEAKED02C4D5"
)

// TestContractsLoad: contracts, tiers and defaults come from files to an engine, under pseudonyms, and differences alone
// are published. No token is in the log, in what is told, or in the data folder.
func TestContractsLoad(t *testing.T) {
	s := newReferenceScene(t)
	s.write("contracts/a.ndjson", `{"uid":"`+strings.ToLower(memberToken)+`","contract_id":"NL-WTL-C1","country_code":"NL","party_id":"WTL","tier":"member"}`+"\n"+
		`{"uid":"`+goneToken+`","contract_id":"NL-WTL-C2"}`+"\n")
	s.write("contracts/b.csv", "uid,contract_id,tariff\nX1,NL-WTL-C3,AC-FREE\n")
	s.write("tiers/tiers.json", `[{"country_code":"NL","party_id":"WTL","id":"member","rules":[{"tariffs":["AC-FREE"]}]}]`)
	s.write("defaults/nl.json", `{"country_code":"NL","party_id":"WTL","tariffs":["AC-WEEK"]}`)
	if _, err := s.load(reflog.Options{}); err == nil || !strings.Contains(err.Error(), "tokens new-key") {
		t.Fatalf("contracts without a keyset: %v", err)
	}
	first := s.withKeyset()
	f := func(options reflog.Options, want string) {
		t.Helper()
		options.By = "ann@desk"
		summary, err := s.load(options)
		if err != nil || !strings.Contains(summary, want) {
			t.Errorf("want %q; told %q, %v", want, s.told, err)
		}
		if text := strings.Join(s.told, "\n"); strings.Contains(strings.ToUpper(text), "LEAKED") {
			t.Errorf("a token is told: %s", text)
		}
	}
	f(reflog.Options{DryRun: true}, "3 contracts: 3 new or changed, 0 withdrawn; nothing was published")
	f(reflog.Options{}, "3 contracts: 3 new or changed, 0 withdrawn")
	f(reflog.Options{}, "3 contracts: 0 new or changed, 0 withdrawn")

	s.engine(func(ref *engine.Reference, keys *pseudonym.Keyring) error {
		if ids := ref.TokenKeys(ref.Next()); len(ids) != 1 || ids[0] != first {
			t.Errorf("keys %v, want %d", ids, first)
		}
		p := ref.Pseudonym(ref.Next(), ref.TokenKeys(ref.Next()), []byte(memberToken))
		asks := book.Session{StartMs: loadgen.DefaultEpochMs, ChargePoint: string(s.network.ChargePoint(0)), Connector: 1, Driver: p}
		price, reason, ok := ref.Price(ref.Next(), &asks)
		if !ok || price.Tariff != "NL*WTL*AC-FREE" || price.Contract != "NL-WTL-C1" || price.Tier != "member" {
			t.Errorf("%+v %s", price, reason)
		}
		return nil
	})

	// A new key: nothing is loaded again, and what changes moves to it.
	if _, err := pseudonym.NewKey(s.cfg.Tokens.KeysetFile); err != nil {
		t.Fatal(err)
	}
	for _, c := range []command{tokensListCommand(), tokensRotateCommand(), tokensListCommand()} {
		var out, errs bytes.Buffer
		t.Setenv("WATTLINE_DATA_DIR", s.cfg.DataDir)
		t.Setenv("WATTLINE_KAFKA_EMBEDDED_ADDR", "127.0.0.1:0")
		t.Setenv("WATTLINE_TOKENS_KEYSET_FILE", s.cfg.Tokens.KeysetFile)
		if code := c.run(context.Background(), stdio{nil, &out, &errs}, nil); code != exitOK {
			t.Fatalf("%s: %d, %s%s", c.name, code, out.String(), errs.String())
		}
		t.Logf("%s: %s", c.name, out.String())
	}
	f(reflog.Options{}, "3 contracts: 0 new or changed, 0 withdrawn")
	s.write("contracts/b.csv", "uid,contract_id,tariff\nX1,NL-WTL-C3,AC-WEEK\n")
	s.write("contracts/a.ndjson", `{"uid":"`+memberToken+`","contract_id":"NL-WTL-C1","country_code":"NL","party_id":"WTL","tier":"member"}`+"\n")
	f(reflog.Options{Withdraw: true}, "2 contracts: 1 new or changed, 2 withdrawn")
	f(reflog.Options{Rekey: true}, "2 contracts: 1 new or changed, 1 withdrawn")
	f(reflog.Options{Withdraw: true}, "2 contracts: 0 new or changed, 0 withdrawn")
	if err := os.RemoveAll(filepath.Join(s.dir, "contracts")); err != nil {
		t.Fatal(err)
	}
	f(reflog.Options{Withdraw: true}, "0 new or changed, 0 withdrawn")
	var out, errs bytes.Buffer
	if code := referenceLogCommand().run(t.Context(), stdio{nil, &out, &errs}, []string{"--key", "contract/", "--since", "1h"}); code != exitOK {
		t.Errorf("reference log: %d %s", code, errs.String())
	}
	if text := out.String(); strings.Count(text, "  new\n") != 5 || strings.Count(text, "  withdrawn\n") != 3 || strings.Contains(text, "not said") {
		t.Errorf("reference log says:\n%s", text)
	}
	if code := referenceLogCommand().run(t.Context(), stdio{nil, &out, &errs}, []string{"--since", "yesterday"}); code != exitUsage {
		t.Errorf("--since yesterday: %d", code)
	}
	scanForToken(t, s.cfg.DataDir)
}

// scanForToken fails if one of the tests' tokens is in a file below dir.
func scanForToken(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		if bytes.Contains(bytes.ToUpper(b), []byte("04LEAKED")) {
			t.Errorf("a token is in %s", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files below %s, %v", files, dir, err)
	}
}

// TestContractsFaults: nothing is published when a contract has a fault, and all are told, by place and never by token.
func TestContractsFaults(t *testing.T) {
	f := func(want string, rows ...string) {
		t.Helper()
		s := newReferenceScene(t)
		s.withKeyset()
		s.write("contracts/a.csv", "uid,contract_id,default_profile_type\n"+strings.Join(rows, "\n")+"\n")
		_, err := s.load(reflog.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was published") || strings.Contains(strings.ToUpper(err.Error()), "LEAKED") {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	f("a.csv: 3: its token is that of contract 1 of", memberToken+",c1,", strings.ToLower(memberToken)+",c2,")
	f("a.csv: 2: contract_id: missing", memberToken+",,")
	f("and 5 more", strings.Split(strings.TrimSuffix(strings.Repeat(memberToken+",,\n", 25), "\n"), "\n")...)
}

// TestTokensPseudonym: an operator finds a driver's sessions without the token being in an argument.
func TestTokensPseudonym(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	id, err := pseudonym.NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pseudonym.Parse(secret.New(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	value := keys.Pseudonym(id, []byte(memberToken))
	want := fmt.Sprintf("%d %x\n", id, value)
	t.Setenv("WATTLINE_TOKENS_KEYSET", string(text)) // as a secret of the environment
	var out, errs bytes.Buffer
	code := tokensPseudonymCommand().run(t.Context(), stdio{strings.NewReader(" " + memberToken + "\n\n"), &out, &errs}, nil)
	if code != exitOK || out.String() != want {
		t.Errorf("%d %q, want %q; %s", code, out.String(), want, errs.String())
	}
	if code := tokensPseudonymCommand().run(t.Context(), stdio{strings.NewReader(""), &out, &errs}, []string{memberToken}); code != exitUsage {
		t.Errorf("a token as an argument: %d", code)
	}
}
