package livebill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/liveview"
)

// Asker asks an engine and a store for the bill of one session.
type Asker struct {
	API   string // URL, as http://127.0.0.1:8080
	Token string // bearer token; "": none is sent
	ID    string // as GET /v1/sessions/{id} takes it; "": the dearest is looked for
	Store *clickhouse.Store
}

// get asks the API. It says false for what is not there.
func (a *Asker) get(ctx context.Context, path string, v any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.API+path, nil)
	if err != nil {
		return false, err
	}
	if a.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the engine: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return false, fmt.Errorf("ask the engine: %w", err)
	case res.StatusCode == http.StatusNotFound:
		return false, nil
	case res.StatusCode != http.StatusOK:
		return false, fmt.Errorf("%s answers %s: %s", a.API, res.Status, strings.TrimSpace(string(body)))
	}
	return true, json.Unmarshal(body, v)
}

// Bill asks once. The first time without an ID it takes the dearest session, and stays with it. Errors: what the engine or
// the store says; that nobody knows the session.
func (a *Asker) Bill(ctx context.Context) (*liveview.Bill, error) {
	s := &Session{}
	if a.ID == "" {
		var list struct {
			Sessions []Session `json:"sessions"`
		}
		if _, err := a.get(ctx, "/v1/sessions?dearest=1", &list); err != nil {
			return nil, err
		}
		if len(list.Sessions) == 0 {
			return &liveview.Bill{}, nil
		}
		s, a.ID = &list.Sessions[0], list.Sessions[0].ID
	}
	found, err := a.get(ctx, "/v1/sessions/"+url.PathEscape(a.ID), s)
	if err == nil && !found {
		if found, err = a.get(ctx, "/v1/sessions/"+url.PathEscape(a.ID)+"/price", s); err == nil && !found {
			return nil, fmt.Errorf("no session %q is running, and none that has ended has this id", a.ID)
		}
	}
	if err != nil {
		return nil, err
	}
	id, ok := engine.ParseSessionID(s.ID)
	if !ok {
		return nil, fmt.Errorf("%s tells the id %q, which is none", a.API, s.ID)
	}
	if s.Final {
		if list, err := a.Store.Ended(ctx, []engine.SessionID{id}); err == nil && len(list) == 1 {
			v := &list[0]
			s.ChargePoint, s.Connector, s.Location, s.Tier, s.Zone, s.Start = v.ChargePoint, v.Connector, v.Location, v.Tier, v.Zone, instant(v.StartMs)
		}
	}
	rows, err := a.Store.Bill(ctx, id, s.Location)
	if err != nil {
		return nil, err
	}
	if !s.Final { // again, behind the rows: else a row could be there that the price does not have yet
		if found, err := a.get(ctx, "/v1/sessions/"+url.PathEscape(s.ID), s); err != nil {
			return nil, err
		} else if !found {
			return a.Bill(ctx) // it has ended meanwhile
		}
	}
	return Explain(s, rows), nil
}
