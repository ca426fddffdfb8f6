package pseudonym

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/internal/secret"
)

// golden is a keyset of one key, made for this test, and what it makes: P1.
const golden = `{"primaryKeyId":2776713853,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacPrfKey","value":"EgIIAxogAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":2776713853,"outputPrefixType":"RAW"}]}`

func TestPseudonym(t *testing.T) {
	k, err := Parse(secret.New(golden))
	if err != nil {
		t.Fatal(err)
	}
	f := func(token, want string) {
		t.Helper()
		p := k.Pseudonym(2776713853, []byte(token))
		if got := hex(p[:]); got != want {
			t.Errorf("%q: %s, want %s", token, got, want)
		}
	}
	// HMAC-SHA256 by the key 00 01 ... 1f, its first 16 bytes.
	f("04A1B2C3D4E5F6", "3d1061e94073704b59a393fad27084d7")
	f("04a1b2c3d4e5f6", "3d1061e94073704b59a393fad27084d7")
	f("", "d38b42096d80f45f826b44a9d5607de7")
	if k.Has(1) || !k.Has(2776713853) {
		t.Errorf("ids %v", k.IDs())
	}
	token := []byte("lower")
	k.Pseudonym(2776713853, token)
	if string(token) != "lower" {
		t.Error("the caller's token was changed")
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// TestNewKey: a file is made for the operator alone; a key more leaves the old ones, and who has the file open finds it.
func TestNewKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "tokens.json")
	first, err := NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	before := k.Pseudonym(first, []byte("A"))
	second, err := NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(time.Hour) // file systems tell times no finer than they like
	if err := os.Chtimes(path, future, future); err != nil {
		t.Fatal(err)
	}
	if !k.Has(second) {
		t.Error("the new key is not found in the open keyset")
	}
	if diff := cmp.Diff([]uint32{second, first}, k.IDs()); diff != "" {
		t.Error(diff)
	}
	if k.Pseudonym(first, []byte("A")) != before || k.Pseudonym(second, []byte("A")) == before {
		t.Error("the first key makes another pseudonym, or the second the same")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".keyset-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFaults(t *testing.T) {
	f := func(name, text string, mode os.FileMode, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "AAECAwQF") {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
		if want == ErrKeyset.Error() && !errors.Is(err, ErrKeyset) {
			t.Errorf("%s: %v is not ErrKeyset", name, err)
		}
	}
	f("no JSON", "AAECAwQF", 0o600, ErrKeyset.Error())
	f("of something else", strings.Replace(golden, "HmacPrfKey", "AesGcmKey", 1), 0o600, ErrKeyset.Error())
	f("nothing", "", 0o600, ErrKeyset.Error())
	f("readable by all", golden, 0o604, "chmod 0600")
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "tokens new-key") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Parse(secret.New("x")); !errors.Is(err, ErrKeyset) {
		t.Errorf("no keyset in the text: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(golden)
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := Parse(secret.New(text))
		if err != nil {
			return
		}
		for _, id := range k.IDs() {
			k.Pseudonym(id, []byte("token"))
		}
	})
}

func BenchmarkPseudonym(b *testing.B) {
	k, err := Parse(secret.New(golden))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		k.Pseudonym(2776713853, []byte("04A1B2C3D4E5F6"))
	}
}
