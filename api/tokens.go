package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Role is what the bearer of a token may ask.
type Role string

// The roles. An operator may all that a reader may.
const (
	RoleRead     Role = "read"     // sessions, metrics, readiness with its reasons
	RoleOperator Role = "operator" // also /debug, which shows the program's memory
)

// Tokens are the bearer tokens that may ask, as they stand hashed in a file: NAME ROLE sha256:HEX and what else follows,
// a line each; # begins a comment. The file is read again when it changes; one that is faulty is told to the log, and
// the tokens before stay. Safe for concurrent use.
type Tokens struct {
	file string
	log  *slog.Logger

	mu     sync.Mutex
	list   []tokenHash
	looked time.Time
	at     time.Time // of the file when it was last read
	size   int64
}

// tokenHash is a line of the file. Tokens have 256 bits by chance, so that a plain hash can not be guessed back (H5).
type tokenHash struct {
	name string
	role Role
	sum  [sha256.Size]byte
}

// OpenTokens reads the file. log hears of later faults; nil: nobody does. Errors name the line.
func OpenTokens(file string, log *slog.Logger) (*Tokens, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tokens{file: file, log: log, looked: time.Now()}
	return t, t.read()
}

// read takes the file as it is now.
func (t *Tokens) read() error {
	st, err := os.Stat(t.file)
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	b, err := os.ReadFile(t.file)
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	t.at, t.size = st.ModTime(), st.Size() // also of a faulty file: it is told once
	list, err := parseTokens(b)
	if err != nil {
		return fmt.Errorf("read tokens: %s %w", t.file, err)
	}
	t.list = list
	return nil
}

func parseTokens(b []byte) ([]tokenHash, error) {
	var list []tokenHash
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text, _, _ := strings.Cut(string(line), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		// The line itself is not repeated: somebody may have put a token where its hash belongs.
		if len(fields) < 3 {
			return nil, fmt.Errorf("line %d is not NAME ROLE sha256:HEX", n)
		}
		h := tokenHash{name: fields[0], role: Role(fields[1])}
		if h.role != RoleRead && h.role != RoleOperator {
			return nil, fmt.Errorf("line %d: the second word is no role; there are %s and %s", n, RoleRead, RoleOperator)
		}
		digits, ok := strings.CutPrefix(fields[2], "sha256:")
		sum, err := hex.DecodeString(digits)
		if !ok || err != nil || len(sum) != len(h.sum) {
			return nil, fmt.Errorf("line %d: the third word is not sha256: and 64 hexadecimal digits; make a token with `wattline api token`", n)
		}
		h.sum = [sha256.Size]byte(sum)
		list = append(list, h)
	}
	return list, nil
}

// lookAgainAfter is how often at most the file is asked whether it changed.
const lookAgainAfter = time.Second

// current returns the tokens that hold now.
func (t *Tokens) current() []tokenHash {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.looked) < lookAgainAfter {
		return t.list
	}
	t.looked = time.Now()
	if st, err := os.Stat(t.file); err == nil && (!st.ModTime().Equal(t.at) || st.Size() != t.size) {
		if err := t.read(); err != nil {
			t.log.Error("tokens could not be read again, those before hold", "error", err)
		} else {
			t.log.Info("tokens read again", "file", t.file, "tokens", len(t.list))
		}
	}
	return t.list
}

// find returns whose token it is. All are compared, each in the same time, so that times tell nothing.
func (t *Tokens) find(token string) (name string, role Role, ok bool) {
	sum := sha256.Sum256([]byte(token))
	for _, h := range t.current() {
		if subtle.ConstantTimeCompare(sum[:], h.sum[:]) == 1 {
			name, role, ok = h.name, h.role, true
		}
	}
	return name, role, ok
}

// AddToken makes a token, appends its hash to the file, which is made for its owner alone if it is not there, and returns
// the token, which is nowhere else. name is any word, for people; several tokens may have the same.
func AddToken(file, name string, role Role, now time.Time) (token string, err error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n#") {
		return "", fmt.Errorf("make token: the name %q is not one word without #", name)
	}
	if role != RoleRead && role != RoleOperator {
		return "", fmt.Errorf("make token: there is no role %q, there are %s and %s", role, RoleRead, RoleOperator)
	}
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	token = "wl_" + base64.RawURLEncoding.EncodeToString(raw[:])
	sum := sha256.Sum256([]byte(token))
	line := fmt.Sprintf("%s %s sha256:%x %s\n", name, role, sum, now.UTC().Format(time.DateOnly))
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep token: %w", err)
	}
	_, err = f.WriteString(line)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("keep token: %w", err)
	}
	return token, nil
}

// guard lets those through who may ask: everybody /healthz, and whether it is ready but not why not; operators
// everything, readers all but /debug.
func (t *Tokens) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		need := RoleRead
		if strings.HasPrefix(r.URL.Path, "/debug") {
			need = RoleOperator
		}
		token, given := bearer(r)
		name, role, ok := t.find(token)
		switch {
		case ok && (role == RoleOperator || need == RoleRead):
			next.ServeHTTP(w, r)
		case ok:
			t.log.Debug("token of too low a role", "name", name, "path", logged(r.URL.Path), "from", r.RemoteAddr)
			answer(w, http.StatusForbidden, failure{Error: fmt.Sprintf("the token of %s has the role %s, this needs %s", name, role, need), Code: "forbidden"}, t.log)
		case r.URL.Path == "/healthz":
			next.ServeHTTP(w, r)
		case r.URL.Path == "/readyz" && !given:
			s := &statusOnly{header: http.Header{}}
			next.ServeHTTP(s, r)
			answer(w, s.status, map[string]bool{"ready": s.status == http.StatusOK}, t.log)
		default:
			t.log.Debug("no valid token", "path", logged(r.URL.Path), "from", r.RemoteAddr)
			w.Header().Set("WWW-Authenticate", `Bearer realm="wattline"`)
			answer(w, http.StatusUnauthorized, failure{
				Error: "a valid token is needed", Code: "unauthorized",
				Hint: "send the header Authorization: Bearer TOKEN; `wattline api token` makes one",
			}, t.log)
		}
	})
}

// bearer returns the token of a request; "" for one of another scheme, which is given all the same.
func bearer(r *http.Request) (token string, given bool) {
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	return strings.TrimSpace(token), header != ""
}

// statusOnly keeps the status of an answer and drops the rest.
type statusOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (s *statusOnly) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *statusOnly) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

// Write implements http.ResponseWriter.
func (s *statusOnly) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}
