package reflog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/contracts"
	"github.com/wattline/wattline/internal/pseudonym"
	"github.com/wattline/wattline/internal/redact"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// contractFiles lists the files of dir/contracts, in order of their names; ok false: there is no such folder.
func contractFiles(dir string) (files []string, ok bool, err error) {
	root := filepath.Join(dir, "contracts")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains(contracts.Extensions(), strings.ToLower(filepath.Ext(path))) {
			files = append(files, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return files, true, err
}

// contractLoad publishes the contracts of files.
type contractLoad struct {
	files     []string
	keys      *pseudonym.Keyring
	published *contracts.Published
	options   Options
	rows      uint32

	added, withdrawn int64
}

// maxFaults is how many faults of contracts are told: a wrong column makes a million.
const maxFaults = 20

// begin finds the keys that pseudonyms are made with. msg publishes them if the log has none yet.
func (l *contractLoad) begin() (msgs []engine.Message, err error) {
	if l.keys == nil {
		return nil, errors.New("there are contracts, but no keyset to make pseudonyms of their tokens: `wattline tokens new-key` makes one, tokens.keyset_file names it")
	}
	if l.published.Keys == nil {
		ids := l.keys.IDs()
		l.published.Keys = &rating.TokenKeys{Primary: ids[0], IDs: ids}
		msg, err := Message(&ocpi.Reference{Kind: ocpi.ReferenceTokens, TokenKeys: l.published.Keys}, l.options.By, time.Now().UnixMilli())
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, msg)
	}
	for _, id := range l.published.Keys.IDs {
		if !l.keys.Has(id) {
			return nil, fmt.Errorf("the reference log makes pseudonyms with key %d, which the keyset here lacks: take that of the engines (docs/runbook/token-key-missing.md)", id)
		}
	}
	return msgs, nil
}

// check reads all files once, and joins what is wrong with them. Nothing is kept but a number a token.
func (l *contractLoad) check(ctx context.Context) error {
	var faults []error
	more := 0
	note := func(err error) {
		if len(faults) < maxFaults {
			faults = append(faults, err)
			return
		}
		more++
	}
	ends := make([]uint32, 0, len(l.files)) // numbers of rows, to say which file one is of
	for _, file := range l.files {
		err := contracts.Read(file, func(at int, row *contracts.Row, fault error) error {
			l.rows++
			if row != nil && redact.CardNumber([]byte(row.Contract.ID+"\n"+row.Contract.Tier)) {
				fault = errors.New("contract_id or tier: may be the number of a payment card, which is kept nowhere")
			}
			if fault != nil {
				note(fmt.Errorf("%s: %d: %w", file, at, fault))
			} else if twice := l.published.Note(l.keys, l.rows, row.Token); twice != 0 {
				note(fmt.Errorf("%s: %d: its token is that of %s, too", file, at, l.placeOf(twice, ends)))
			}
			return ctx.Err()
		})
		if err != nil {
			note(fmt.Errorf("%s: %w", file, err))
		}
		ends = append(ends, l.rows)
	}
	if more > 0 {
		faults = append(faults, fmt.Errorf("and %d more", more))
	}
	return errors.Join(faults...)
}

// placeOf says which row number n is.
func (l *contractLoad) placeOf(n uint32, ends []uint32) string {
	before := uint32(0)
	for i, end := range ends {
		if n <= end {
			return fmt.Sprintf("contract %d of %s", n-before, l.files[i])
		}
		before = end
	}
	return fmt.Sprintf("contract %d of the same file", n-before)
}

// contractBatch is how many records are sent together.
const contractBatch = 5_000

// publish reads all files again and sends what changed, in batches. send may keep no message.
func (l *contractLoad) publish(ctx context.Context, send func([]engine.Message) error) error {
	now := time.Now().UnixMilli()
	var batch []engine.Message
	var differences []ocpi.Reference
	add := func(list []ocpi.Reference) error {
		for i := range list {
			msg, err := Message(&list[i], l.options.By, now)
			if err != nil {
				return err
			}
			if batch = append(batch, msg); msg.Value == nil {
				l.withdrawn++
			} else {
				l.added++
			}
		}
		if len(batch) < contractBatch {
			return nil
		}
		err := send(batch)
		batch = batch[:0]
		return err
	}
	done := int64(0)
	for _, file := range l.files {
		err := contracts.Read(file, func(at int, row *contracts.Row, fault error) error {
			if done++; fault != nil {
				return fmt.Errorf("contract %d: %w; the file has changed meanwhile: run it again", at, fault)
			}
			if l.options.Progress != nil && done%1000 == 0 {
				l.options.Progress(done, int64(l.rows))
			}
			differences = l.published.Difference(l.keys, row, l.options.Rekey, differences[:0])
			return errors.Join(add(differences), ctx.Err())
		})
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if l.options.Withdraw {
		if err := add(l.published.Rest()); err != nil {
			return err
		}
	}
	if len(batch) > 0 {
		return send(batch)
	}
	return nil
}

// withdrawnBy begins who withdrew something, in the content type of a record that has no value to say it in.
const withdrawnBy = "none; by="

// Message is a record of the reference log as it is sent.
func Message(r *ocpi.Reference, by string, atMs int64) (engine.Message, error) {
	r.By, r.AtMs = by, atMs
	key, value, err := ocpi.AppendReference(nil, nil, r)
	m := engine.Message{Key: key, Value: value, TimestampMs: atMs}
	if value == nil {
		m.ContentType = withdrawnBy + by
	}
	return m, err
}
