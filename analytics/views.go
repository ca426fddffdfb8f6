package analytics

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

// viewFiles are NAME.sql: lines of comment that say what a row is, then the columns and the SELECT.
//
//go:embed views/*.sql
var viewFiles embed.FS

// View is a named view in ClickHouse's SQL. It has the fields of connectors/clickhouse.View, so that cmd converts one
// to the other.
type View struct {
	Name string
	// Definition is "(column Type COMMENT '...', ...) AS SELECT ..."; tables are named as {{.Database}}.charges.
	Definition string
	Comment    string // what a row is
}

// Views returns the views in the order in which they can be created: one that reads another comes after it.
func Views() ([]View, error) {
	var list []View
	for _, name := range []string{
		"freshness", "sessions_latest", "live_sessions", "charging_periods", "revenue_by_hour", "energy_by_site", "sites",
		"earned_by_component",
	} {
		text, err := viewFiles.ReadFile(path.Join("views", name+".sql"))
		if err != nil {
			return nil, fmt.Errorf("read view %s: %w", name, err)
		}
		v, err := parseView(name, string(text))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// parseView splits a view's file into comment and definition.
func parseView(name, text string) (View, error) {
	v := View{Name: name, Definition: text}
	for {
		line, rest, ok := strings.Cut(v.Definition, "\n")
		comment, isComment := strings.CutPrefix(line, "-- ")
		if !ok || !isComment {
			break
		}
		if v.Comment != "" {
			v.Comment += " "
		}
		v.Comment, v.Definition = v.Comment+strings.TrimSpace(comment), rest
	}
	v.Definition = strings.TrimSpace(v.Definition)
	if v.Comment == "" || !strings.HasPrefix(v.Definition, "(") {
		return View{}, fmt.Errorf("view %s: want comment lines that say what a row is, then the list of columns", name)
	}
	return v, nil
}
