// Package ask puts questions to ClickHouse over HTTP, as a person would with curl: the answer is text.
//
// It does not own where the store is, nor who asks; nor the engine's own way of writing (connectors/clickhouse).
package ask

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/wattline/wattline/internal/secret"
)

// Store is a store that can be asked.
type Store struct {
	Client   *http.Client // nil: http.DefaultClient
	Base     string       // scheme://host:port
	User     string
	Password secret.Text
}

// Ask writes the answer to out, in the format that the question or settings (default_format) name. Errors: what the store
// says, in its own words; nothing was written then.
func (s *Store) Ask(ctx context.Context, out io.Writer, settings url.Values, question string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+"/?"+settings.Encode(), strings.NewReader(question))
	if err != nil {
		return err
	}
	req.SetBasicAuth(s.User, s.Password.Reveal())
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what came of it is the message
		return errors.New(strings.TrimSpace(string(text)))
	}
	_, err = io.Copy(out, res.Body)
	return err
}
