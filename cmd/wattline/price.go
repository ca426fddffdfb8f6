package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// priceOptions are the flags of `wattline price`.
type priceOptions struct {
	decimals int
	check    bool
	explain  bool
	oracle   bool
}

const priceHelp = `A file is JSON or YAML and holds ` + "`tariffs` and `sessions` or `vectors`" + ` (EXACTNESS section 5). A session finds its tariff
in its own file, else in one of the others.

Output: a JSON line a session: id, excl and incl (decimals, or null where the price without tax cannot be known),
currency, energy_mwh, charging_ms, parking_ms, reservation_ms and lines. A line is what one price component makes of one
charging period: what began the period (split), quantities, place in the tariff, amounts at 6 decimals; lines of the kinds
step, min, max and rounding are the settlement. The lines add up to the total at 6 decimals.
A session that is faulty has id and error instead, and the others are priced all the same.

Exit: 0 all priced (and equal), 1 a fault (its path on standard error, or in the session's line) or a difference,
2 a wrong command line.`

func priceCommand() command {
	c := command{
		name: "price", args: "[--decimals N] [--check] [--explain] [--oracle] FILE...",
		summary: "Price the sessions of session and vector files",
	}
	c.run = func(_ context.Context, std stdio, args []string) int {
		var o priceOptions
		fs := newFlags(std, c, priceHelp)
		fs.IntVar(&o.decimals, "decimals", 6, "decimals of excl and incl, 0 to 18")
		fs.BoolVar(&o.check, "check", false, "compare with what the sessions expect, at the decimals it shows, and end with 'N equal, M differ', and 'K faulty' if some cannot be priced")
		fs.BoolVar(&o.explain, "explain", false, "print a bill that a driver can follow instead of the JSON line")
		fs.BoolVar(&o.oracle, "oracle", false, "price with the slow second pricer, for disputes; its lines have no period, and each is rounded on its own")
		files, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if o.decimals < 0 || o.decimals > ocpi.MaxDecimals {
			return wrong(std, c, "--decimals %d is not in 0 to %d", o.decimals, ocpi.MaxDecimals)
		}
		if len(files) == 0 {
			return wrong(std, c, "it needs a file")
		}
		return (&pricing{options: o, std: std, zones: map[string]zone{}}).files(files)
	}
	return c
}

// pricing is one run of the command.
type pricing struct {
	options priceOptions
	std     stdio
	zones   map[string]zone
	tariffs []map[string]*rating.Tariff // of each file, by key

	faulty                  bool
	equal, differ, unpriced int // sessions; unpriced ones are faulty
}

// files prices all files and gives the exit code.
func (p *pricing) files(names []string) int {
	parsed := make([]*ocpi.PriceFile, len(names))
	for i, name := range names {
		parsed[i] = p.read(name)
		own := map[string]*rating.Tariff{}
		if parsed[i] != nil {
			for _, e := range parsed[i].Tariffs {
				own[e.Key] = e.Tariff
			}
		}
		p.tariffs = append(p.tariffs, own)
	}
	for i, file := range parsed {
		if file == nil {
			continue
		}
		for s := range file.Sessions {
			p.session(i, &file.Sessions[s])
		}
	}
	if p.options.check {
		fmt.Fprintf(p.std.out, "%d equal, %d differ", p.equal, p.differ)
		if p.unpriced > 0 {
			fmt.Fprintf(p.std.out, ", %d faulty", p.unpriced)
		}
		fmt.Fprintln(p.std.out)
	}
	if p.faulty || p.differ > 0 {
		return exitFault
	}
	return exitOK
}

// read gives nil for a file that is faulty, having said why.
func (p *pricing) read(name string) *ocpi.PriceFile {
	src, err := os.ReadFile(name)
	if err != nil {
		fmt.Fprintf(p.std.err, "wattline price: %v\n", err)
		p.faulty = true
		return nil
	}
	file, report := ocpi.ParsePriceFile(src, func(zone string) error {
		_, err := p.zone(zone)
		return err
	})
	for _, f := range report.Faults {
		fmt.Fprintf(p.std.err, "%s: %s\n", name, f)
		p.faulty = true
	}
	for _, f := range report.Warnings {
		fmt.Fprintf(p.std.err, "%s: warning: %s\n", name, f)
	}
	if file == nil {
		return nil
	}
	for i := range file.Sessions {
		for _, f := range file.Sessions[i].Report.Warnings {
			fmt.Fprintf(p.std.err, "%s: warning: %s\n", name, f)
		}
	}
	return file
}

// session prices one session of file number i and prints its line or its bill.
func (p *pricing) session(i int, s *ocpi.Session) {
	b, err := p.price(i, s)
	if err != nil {
		p.faulty = true
		p.unpriced++
		if p.options.explain {
			fmt.Fprintf(p.std.out, "Session %s cannot be priced: %v\n\n", s.ID, err)
			return
		}
		p.line(faultyLine{ID: orNull(s.ID), Error: err.Error()})
		return
	}
	differences := b.compare(s.Expect)
	if p.options.check && s.Expect.Any() {
		if len(differences) > 0 {
			p.differ++
		} else {
			p.equal++
		}
	}
	if p.options.explain {
		b.explain(p.std.out, p.options.decimals)
	} else {
		l := b.line(p.options.decimals)
		if p.options.check {
			l.Differs = differences
		}
		p.line(l)
	}
	if p.options.check {
		for _, d := range differences {
			fmt.Fprintf(p.std.err, "%s: %s\n", s.ID, d)
		}
	}
}

// price finds everything that a session needs and prices it.
func (p *pricing) price(i int, s *ocpi.Session) (*bill, error) {
	if err := s.Report.Err(); err != nil {
		return nil, err
	}
	tariff, err := p.tariff(i, s)
	if err != nil {
		return nil, err
	}
	z, err := p.zone(s.Zone)
	if err != nil {
		return nil, err
	}
	b := &bill{session: s, tariff: tariff, zone: z}
	if p.options.oracle {
		return b, b.priceByOracle()
	}
	return b, b.priceByPlan()
}

// tariff looks in the session's own file first; in the others a name must be the only one.
func (p *pricing) tariff(i int, s *ocpi.Session) (*rating.Tariff, error) {
	if t := p.tariffs[i][s.TariffID]; t != nil {
		return t, nil
	}
	var found *rating.Tariff
	for _, others := range p.tariffs {
		if t := others[s.TariffID]; t != nil {
			if found != nil {
				return nil, fmt.Errorf("%s.tariff: %q is in more than one of the other files", s.Path, s.TariffID)
			}
			found = t
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s.tariff: there is no tariff %q", s.Path, s.TariffID)
	}
	return found, nil
}

// zone loads each zone once.
func (p *pricing) zone(name string) (zone, error) {
	if z, ok := p.zones[name]; ok {
		return z, nil
	}
	z, err := loadZone(name)
	if err != nil {
		return zone{}, err
	}
	p.zones[name] = z
	return z, nil
}

// line prints one JSON line.
func (p *pricing) line(v any) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		fmt.Fprintf(p.std.err, "wattline price: %v\n", err)
		p.faulty = true
		return
	}
	fmt.Fprint(p.std.out, b.String())
}

// faultyLine is the line of a session that cannot be priced.
type faultyLine struct {
	ID    *string `json:"id"`
	Error string  `json:"error"`
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
