package pseudonym

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/internal/secret"
)

// size is that of a pseudonym, bytes: a million drivers collide with a chance of 2^-88.
const size = 16

// Keyring is a keyset that is open. It is safe for concurrent use.
type Keyring struct {
	path string // "" of a keyset that is no file

	mu      sync.RWMutex
	prfs    map[uint32]prf.PRF
	ids     []uint32 // newest first
	looked  time.Time
	modTime time.Time
}

// ErrKeyset marks a keyset that can not be used.
var ErrKeyset = errors.New("not a keyset of pseudonyms")

// lookAgain is how long a keyset that lacks a key is not read again.
const lookAgain = time.Second

// Open reads the keyset file path. Errors: of the file; ErrKeyset. None shows what is in it.
func Open(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

// Parse reads a keyset from its JSON text, as the environment may give it. Errors: ErrKeyset.
func Parse(text secret.Text) (*Keyring, error) {
	k := &Keyring{}
	return k, k.take([]byte(text.Reveal()))
}

func (k *Keyring) load() error {
	info, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("keyset of pseudonyms: %w; `wattline tokens new-key` makes one", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("keyset of pseudonyms %s has mode %04o: everybody on this machine may read it, and try out tokens; chmod 0600 it", k.path, mode)
	}
	text, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("keyset of pseudonyms: %w", err)
	}
	if err := k.take(text); err != nil {
		return fmt.Errorf("%s: %w", k.path, err)
	}
	k.modTime = info.ModTime()
	return nil
}

// take takes the keys of a keyset.
func (k *Keyring) take(text []byte) error {
	// Errors of the library may show what they could not read.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return fmt.Errorf("%w: it can not be read", ErrKeyset)
	}
	set, err := prf.NewPRFSet(handle)
	if err != nil || len(set.PRFs) == 0 || set.PRFs[0] != nil {
		return fmt.Errorf("%w: its keys are no pseudo-random functions", ErrKeyset)
	}
	var ids []uint32
	for i := range handle.Len() {
		if e, err := handle.Entry(i); err == nil && set.PRFs[e.KeyID()] != nil {
			ids = append(ids, e.KeyID())
		}
	}
	slices.Reverse(ids)
	k.prfs, k.ids = set.PRFs, ids
	return nil
}

// IDs are the ids of the keys, the newest first.
func (k *Keyring) IDs() []uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.ids)
}

// Has says whether there is a key of this id. A file that has changed is read again, once a second at most.
func (k *Keyring) Has(id uint32) bool {
	k.mu.RLock()
	_, ok := k.prfs[id]
	k.mu.RUnlock()
	if ok || k.path == "" {
		return ok
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.prfs[id]; ok || time.Since(k.looked) < lookAgain {
		return ok
	}
	k.looked = time.Now()
	if info, err := os.Stat(k.path); err != nil || info.ModTime().Equal(k.modTime) {
		return false
	}
	if err := k.load(); err != nil {
		return false // a copy that is half there: the keys from before still hold
	}
	_, ok = k.prfs[id]
	return ok
}

// maxToken is the longest token, bytes: what decoders take.
const maxToken = 255

// Pseudonym returns the pseudonym of a token by a key that Has.
func (k *Keyring) Pseudonym(id uint32, token []byte) [16]byte {
	k.mu.RLock()
	f := k.prfs[id]
	k.mu.RUnlock()
	invariant.Check(f != nil, "a pseudonym by a key that is not there")
	var upper [maxToken]byte
	folded := append(upper[:0], token...)
	for i, c := range folded {
		if 'a' <= c && c <= 'z' {
			folded[i] = c - 'a' + 'A'
		}
	}
	out, err := f.ComputePRF(folded, size)
	if err != nil {
		invariant.Bug("a pseudonym of %d bytes: %v", size, err) // the function gives 32
	}
	return [size]byte(out)
}

// NewKey adds a key to the keyset file path, which it makes if it is not there, with mode 0600, and returns its id. Nobody
// uses the key before the reference log names it. Errors: of the file; ErrKeyset.
func NewKey(path string) (id uint32, err error) {
	manager := keyset.NewManager()
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, fmt.Errorf("keyset of pseudonyms: %w", err)
	default:
		if err := (&Keyring{}).take(text); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, ErrKeyset)
		}
		manager = keyset.NewManagerFromHandle(handle)
	}
	if id, err = manager.Add(prf.HMACSHA256PRFKeyTemplate()); err == nil {
		err = manager.SetPrimary(id) // the library wants one; which one counts is for the reference log to say
	}
	if err != nil {
		return 0, fmt.Errorf("make a key of pseudonyms: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return 0, fmt.Errorf("make a key of pseudonyms: %w", err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return 0, fmt.Errorf("write the keyset of pseudonyms: %w", err)
	}
	return id, replace(path, out.Bytes())
}

// replace writes a file as a whole: who reads it sees the old or the new one, also after a crash.
func replace(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
