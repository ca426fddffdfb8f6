package rejects

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The first words of the lines of key files.
const (
	publicWord  = "wattline-rejects-public-1"
	privateWord = "wattline-rejects-private-1"
)

// Public seals; engines have it.
type Public struct {
	ID  string // the first 8 hexadecimal digits of the SHA-256 of the key
	key *ecdh.PublicKey
}

// Private are the keys that open, the newest last.
type Private struct{ keys []privateKey }

type privateKey struct {
	id  string
	key *ecdh.PrivateKey
}

// IDs returns the ids of the keys.
func (p *Private) IDs() []string {
	var ids []string
	for _, k := range p.keys {
		ids = append(ids, k.id)
	}
	return ids
}

func idOf(k *ecdh.PublicKey) string {
	sum := sha256.Sum256(k.Bytes())
	return hex.EncodeToString(sum[:4])
}

// NewKey makes a key: it is appended to privateFile, so that older rejects can still be opened, and publicFile becomes
// its public part. Files are made for their owner alone (private) and for everybody to read (public).
func NewKey(privateFile, publicFile string, now time.Time) (id string, err error) {
	if b, err := os.ReadFile(privateFile); err == nil {
		if _, err := parsePrivate(b); err != nil {
			return "", fmt.Errorf("make key: %s is there, but %w; give another file", privateFile, err)
		}
	}
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	id = idOf(k.PublicKey())
	line := fmt.Sprintf("%s %s %s %s\n", privateWord, id, base64.StdEncoding.EncodeToString(k.Bytes()), now.UTC().Format(time.DateOnly))
	f, err := os.OpenFile(privateFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep key: %w", err)
	}
	_, err = f.WriteString(line)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("keep key: %w", err)
	}
	// The public part last, and whole: an engine never seals with a key that nobody has.
	line = fmt.Sprintf("%s %s %s %s\n", publicWord, id, base64.StdEncoding.EncodeToString(k.PublicKey().Bytes()), now.UTC().Format(time.DateOnly))
	part := filepath.Join(filepath.Dir(publicFile), "."+filepath.Base(publicFile)+".part")
	if err := os.WriteFile(part, []byte(line), 0o644); err != nil {
		return "", fmt.Errorf("keep public key: %w", err)
	}
	if err := os.Rename(part, publicFile); err != nil {
		return "", fmt.Errorf("keep public key: %w", err)
	}
	return id, nil
}

// ReadPublic reads the file that NewKey made. Errors do not repeat what is in it: it may be the wrong one of the two.
func ReadPublic(file string) (*Public, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	p, err := parsePublic(b)
	if err != nil {
		return nil, fmt.Errorf("read public key: %s %w", file, err)
	}
	return p, nil
}

func parsePublic(b []byte) (*Public, error) {
	lines, err := keyLines(b, publicWord)
	if err != nil {
		return nil, err
	}
	if len(lines) != 1 {
		return nil, fmt.Errorf("has %d keys, one seals", len(lines))
	}
	k, err := ecdh.X25519().NewPublicKey(lines[0].bytes)
	if err != nil || idOf(k) != lines[0].id {
		return nil, errors.New("line 1 is damaged: key and id do not fit")
	}
	return &Public{ID: lines[0].id, key: k}, nil
}

// ReadPrivate reads the file that NewKey made.
func ReadPrivate(file string) (*Private, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	p, err := parsePrivate(b)
	if err != nil {
		return nil, fmt.Errorf("read private key: %s %w", file, err)
	}
	return p, nil
}

func parsePrivate(b []byte) (*Private, error) {
	lines, err := keyLines(b, privateWord)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("has no key; `wattline rejects new-key` makes one")
	}
	p := &Private{}
	for _, l := range lines {
		k, err := ecdh.X25519().NewPrivateKey(l.bytes)
		if err != nil || idOf(k.PublicKey()) != l.id {
			return nil, fmt.Errorf("line %d is damaged: key and id do not fit", l.number)
		}
		p.keys = append(p.keys, privateKey{l.id, k})
	}
	return p, nil
}

type keyLine struct {
	number int
	id     string
	bytes  []byte
}

// keyLines reads lines of WORD ID BASE64 and what else follows; # begins a comment. Faults do not repeat the line (Z3).
func keyLines(b []byte, word string) ([]keyLine, error) {
	var list []keyLine
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		text, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 3 || fields[0] != word {
			return nil, fmt.Errorf("line %d is not %s ID KEY", n, word)
		}
		key, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("line %d has no key of 32 bytes in base64", n)
		}
		list = append(list, keyLine{n, fields[1], key})
	}
	return list, nil
}
