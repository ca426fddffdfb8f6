package contracts

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// Row is a contract of a file, with the token in clear. It is good until the next one is read.
type Row struct {
	Token    []byte
	Contract rating.Contract
	Gone     bool // OCPI `valid` is false: nobody may charge with it
}

// maxToken is the longest token, bytes: what decoders take.
const maxToken = 255

// maxLine bounds a line of NDJSON, bytes.
const maxLine = 1 << 20

// fields are the object of a contract: an OCPI Token with what pricing needs beside it. OCPI's other fields are not read.
type fields struct {
	UID         string `json:"uid"`
	ContractID  string `json:"contract_id"`
	CountryCode string `json:"country_code"`
	PartyID     string `json:"party_id"`
	Profile     string `json:"default_profile_type"`
	Valid       *bool  `json:"valid"`
	Tier        string `json:"tier"`
	Tariff      string `json:"tariff"`
	ValidFrom   string `json:"valid_from"`
	ValidTo     string `json:"valid_to"`
}

// Extensions are the endings of files that Read takes.
func Extensions() []string { return []string{".json", ".ndjson", ".jsonl", ".csv"} }

// Read calls each for every contract of the file name, in order, with where it stands (a line; of a JSON list, the
// number of the object, from 1). A contract with a fault is given with it instead of a row; reading goes on. What each returns ends it.
// Other errors are of the file, or name the place from which on it can not be read.
func Read(name string, each func(at int, row *Row, fault error) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	return read(f, strings.ToLower(filepath.Ext(name)), each)
}

func read(in io.Reader, ext string, each func(at int, row *Row, fault error) error) error {
	b := bufio.NewReaderSize(in, 1<<18)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = b.Discard(3) // Excel's; just peeked at
	}
	switch ext {
	case ".json":
		return readList(b, each)
	case ".ndjson", ".jsonl":
		return readLines(b, each)
	case ".csv":
		return readCSV(b, each)
	}
	return fmt.Errorf("a file of contracts ends in one of %s", strings.Join(Extensions(), ", "))
}

func readLines(b *bufio.Reader, each func(int, *Row, error) error) error {
	lines := bufio.NewScanner(b)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	at := 0
	for ; lines.Scan(); at++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var f fields
		if err := give(at+1, &f, json.Unmarshal(line, &f), each); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", at+1, err)
	}
	return nil
}

// readList reads a list of objects, {"data": [...]}, or one object, without having all of it in memory.
func readList(b *bufio.Reader, each func(int, *Row, error) error) error {
	d := json.NewDecoder(b)
	first, err := d.Token()
	if err != nil {
		return notJSON(err)
	}
	if first == json.Delim('{') {
		name, err := d.Token()
		if err != nil || name != "data" {
			return errors.New("it is neither a list of contracts nor an object whose first field is `data`; a contract a line is .ndjson")
		}
		if first, err = d.Token(); err != nil {
			return notJSON(err)
		}
	}
	if first != json.Delim('[') {
		return errors.New("it is no list of contracts")
	}
	at := 1
	for ; d.More(); at++ {
		var f fields
		err := d.Decode(&f)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("contract %d: %w", at, notJSON(err))
		}
		if err := give(at, &f, err, each); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("behind contract %d: %w", at-1, notJSON(err))
	}
	return nil
}

// notJSON is err without what it quotes: that may be a token.
func notJSON(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d", syntax.Offset)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: a %s is not what it takes", wrong.Field, strings.Fields(wrong.Value + " value")[0])
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends too early")
	}
	return errors.New("not JSON")
}

// column puts a text of a CSV column into f; ok false: there is no such column.
func (f *fields) column(name, text string) (ok bool, err error) {
	to := map[string]*string{
		"uid": &f.UID, "contract_id": &f.ContractID, "country_code": &f.CountryCode, "party_id": &f.PartyID,
		"default_profile_type": &f.Profile, "tier": &f.Tier, "tariff": &f.Tariff, "valid_from": &f.ValidFrom, "valid_to": &f.ValidTo,
	}[name]
	switch {
	case to != nil:
		*to = text
	case name != "valid":
		return false, nil
	case text == "true" || text == "false":
		v := text == "true"
		f.Valid = &v
	case text != "":
		return true, fmt.Errorf("valid: neither true nor false")
	}
	return true, nil
}

func readCSV(b *bufio.Reader, each func(int, *Row, error) error) error {
	r := csv.NewReader(b)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("line 1: no head with the names of the columns: %w", csvError(err))
	}
	head = slices.Clone(head)
	for i, name := range head {
		head[i] = strings.TrimSpace(name)
		if known, _ := (&fields{}).column(head[i], ""); !known {
			return fmt.Errorf("line 1: there is no column %.40q", head[i])
		}
	}
	if !slices.Contains(head, "uid") || !slices.Contains(head, "contract_id") {
		return errors.New("line 1: it needs the columns uid and contract_id")
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(err)
		}
		at, _ := r.FieldPos(0)
		var f fields
		var fault error
		for i, text := range record {
			if _, err := f.column(head[i], strings.TrimSpace(text)); err != nil {
				fault = err
			}
		}
		if err := give(at, &f, fault, each); err != nil {
			return err
		}
	}
}

// csvError is err, which quotes nothing, with the line alone.
func csvError(err error) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("line %d: %w", p.Line, p.Err)
	}
	return err
}

// give hands a contract over, or what is wrong with it.
func give(at int, f *fields, err error, each func(int, *Row, error) error) error {
	if err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok || !strings.HasPrefix(err.Error(), "valid:") {
			err = notJSON(err)
		}
		return each(at, nil, err)
	}
	row, fault := f.row()
	if fault != "" {
		return each(at, nil, errors.New(fault))
	}
	return each(at, row, nil)
}

// row is the contract of f, or what is wrong with it, without naming its token.
func (f *fields) row() (*Row, string) {
	cc, party, id := ocpi.ParseName(f.Tariff)
	r := &Row{Token: []byte(f.UID), Gone: f.Valid != nil && !*f.Valid, Contract: rating.Contract{
		ID: f.ContractID, CountryCode: f.CountryCode, PartyID: f.PartyID, Tier: f.Tier, Profile: f.Profile,
		Tariff: rating.TariffKey{CountryCode: cc, PartyID: party, ID: id}, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown,
	}}
	if id == "" {
		r.Contract.Tariff = rating.TariffKey{}
	}
	switch n := len(r.Token); {
	case n == 0:
		return nil, "uid: missing"
	case n > maxToken:
		return nil, fmt.Sprintf("uid: %d bytes, at most %d", n, maxToken)
	}
	for _, at := range []struct {
		name, text string
		ms         *int64
	}{{"valid_from", f.ValidFrom, &r.Contract.ValidFromMs}, {"valid_to", f.ValidTo, &r.Contract.ValidToMs}} {
		if at.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, at.text)
		if err != nil {
			return nil, fmt.Sprintf("%s: %.40q is no RFC 3339 time, such as 2026-01-31T00:00:00Z", at.name, at.text)
		}
		*at.ms = t.UnixMilli()
	}
	return r, ocpi.CheckContract(&r.Contract)
}
