package embedded

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/wattline/wattline/internal/secret"
)

// The two users. Both have their password in a file of the data directory.
const (
	// UserDefault has full rights, those of the process on the host included.
	UserDefault = "default"
	// UserReader may only read, and only what is inside the database.
	UserReader = "reader"

	defaultPasswordFile = "password"
	readerPasswordFile  = "reader.password"
)

// loadPassword reads the password from DIR/name, or makes one of 24 random bytes
// and keeps it there, readable by the owner only.
func loadPassword(dir, name string) (secret.Text, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makePassword(path)
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("embedded: read password: %w", err)
	}
	pw := strings.TrimSpace(string(b))
	if pw == "" {
		return secret.Text{}, fmt.Errorf("embedded: password file %s is empty; remove it and a new one is made", path)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return secret.Text{}, fmt.Errorf("embedded: protect password: %w", err)
	}
	return secret.New(pw), nil
}

// makePassword writes a new password by rename, so that a crash leaves no half one.
func makePassword(path string) (secret.Text, error) {
	var raw [24]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return secret.Text{}, fmt.Errorf("embedded: make password: %w", err)
	}
	pw := base64.RawURLEncoding.EncodeToString(raw[:])
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(pw+"\n"), 0o600); err != nil {
		return secret.Text{}, fmt.Errorf("embedded: write password: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return secret.Text{}, fmt.Errorf("embedded: write password: %w", err)
	}
	return secret.New(pw), nil
}

// credentials takes user and password from the headers X-ClickHouse-User and -Key, from Basic
// authentication, or from the URL, in this order. given is false when there are none.
func credentials(r *http.Request) (user, password string, given bool) {
	h := r.Header
	if u, k := h.Get("X-ClickHouse-User"), h.Get("X-ClickHouse-Key"); u != "" || k != "" {
		return orDefaultUser(u), k, true
	}
	if u, p, ok := r.BasicAuth(); ok {
		return orDefaultUser(u), p, true
	}
	q := r.URL.Query()
	if q.Has("user") || q.Has("password") {
		return orDefaultUser(q.Get("user")), q.Get("password"), true
	}
	return "", "", false
}

func orDefaultUser(u string) string {
	if u == "" {
		return UserDefault
	}
	return u
}

// authenticate returns the user of a request. Times do not tell a wrong user from
// a wrong password.
func (s *Server) authenticate(r *http.Request) (user string, err error) {
	user, password, given := credentials(r)
	if !given {
		return "", newException(codeRequiredPassword,
			"User and password are needed, as Basic authentication or X-ClickHouse-User and X-ClickHouse-Key. "+
				"The password of user default is in the file %q of the store's data directory, that of user reader in %q",
			defaultPasswordFile, readerPasswordFile)
	}
	want, known := s.password, user == UserDefault
	if user == UserReader {
		want, known = s.readerPassword, true
	}
	a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want.Reveal()))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 || !known {
		return "", newException(codeAuthFailed,
			"%s: Authentication failed: password is incorrect, or there is no user with such name. "+
				"The password of user default is in the file %q of the store's data directory, that of user reader in %q",
			user, defaultPasswordFile, readerPasswordFile)
	}
	return user, nil
}
