package ocpi

import (
	"strings"

	"github.com/wattline/wattline/rating"
)

// Scales of the grid: how many decimal digits lie between the unit of OCPI and that of rating.
const (
	priceDigits = 9 // currency unit -> 1e-9
	vatDigits   = 2 // percent -> hundredths
	kwhDigits   = 6 // kWh -> mWh
	kwDigits    = 9 // kW -> µW
	ampDigits   = 9 // A -> nA
)

// TariffEntry is one tariff of a file.
type TariffEntry struct {
	Key    string         // the key below `tariffs:`; "" in a bare tariff, a list or a response
	Path   string         // where it stands in the file; "" for a bare tariff
	Tariff *rating.Tariff // nil when the report has faults (O5)
	Report Report         // of this tariff
}

// ParseTariffs reads the tariffs of a file for `tariff check` and for loading: a bare OCPI tariff, a list of
// them, an OCPI response (`data:`), or a price file with `tariffs:`. Those of a price file need only what pricing
// needs; all else is held to OCPI. The report is of the file as a whole; each tariff has its own. src is not kept.
func ParseTariffs(src []byte) ([]TariffEntry, Report) {
	r := &reader{strict: true}
	root := r.parseTree(src)
	if root == nil || len(r.rep.Faults) > 0 {
		return nil, r.rep
	}
	if named := root.get("tariffs"); named != nil {
		return r.namedTariffs(named, true), r.rep
	}
	if data := root.get("data"); data != nil {
		root = data
	}
	switch root.kind {
	case kindObject:
		return []TariffEntry{tariffEntry(root, true, true)}, r.rep
	case kindList:
		if len(root.items) == 0 {
			r.warn(root, "there is no tariff")
		}
		entries := make([]TariffEntry, len(root.items))
		for i, item := range root.items {
			entries[i] = tariffEntry(item, true, true)
		}
		return entries, r.rep
	}
	r.fault(root, "%s is neither a tariff nor a list of tariffs", root.what())
	return nil, r.rep
}

// namedTariffs reads the object below `tariffs:` of a price file; check warns of what OCPI demands beyond pricing.
func (r *reader) namedTariffs(named *node, check bool) []TariffEntry {
	if !r.object(named) {
		return nil
	}
	entries := make([]TariffEntry, len(named.items))
	for i, item := range named.items {
		entries[i] = tariffEntry(item, false, check)
		entries[i].Key = item.key
	}
	return entries
}

func tariffEntry(n *node, strict, check bool) TariffEntry {
	r := &reader{strict: strict, check: check}
	t := r.tariff(n)
	e := TariffEntry{Path: n.path(), Report: r.rep}
	if len(r.rep.Faults) == 0 {
		e.Tariff = t
	}
	return e
}

// tariff reads one Tariff object; the result is only good without faults.
func (r *reader) tariff(n *node) *rating.Tariff {
	if !r.object(n) {
		return nil
	}
	t := &rating.Tariff{ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown}
	r.identity(n, t)
	t.TaxIncluded = r.taxIncluded(n.get("tax_included"))
	t.Min = r.priceLimit(n.get("min_price"))
	t.Max = r.priceLimit(n.get("max_price"))
	r.validity(n, t)
	elements := n.get("elements")
	switch {
	case elements == nil:
		r.fault(n, "elements is missing")
	case !r.list(elements):
	case len(elements.items) == 0:
		r.fault(elements, "there is no element")
	case countComponents(elements) > maxComponents:
		r.fault(elements, "has more than %d elements and price components", maxComponents)
	default:
		t.Elements = make([]rating.Element, len(elements.items))
		for i, item := range elements.items {
			t.Elements[i] = r.element(item)
		}
		r.vatRates(elements, t)
	}
	r.unknownFields(n, r.warn, "country_code", "party_id", "id", "currency", "type", "tariff_alt_text", "tariff_alt_url",
		"min_price", "max_price", "elements", "tax_included", "start_date_time", "end_date_time", "energy_mix",
		"last_updated", "preauthorize_amount")
	if len(r.rep.Faults) == 0 {
		r.oddities(n, t)
	}
	return t
}

// maxComponents is how many elements, and components in them, rating.Compile takes.
const maxComponents = 32_000

func countComponents(elements *node) int {
	n := len(elements.items)
	for _, e := range elements.items {
		if components := e.get("price_components"); components != nil {
			n += len(components.items)
		}
	}
	return n
}

// identity reads who the tariff is and in what currency.
func (r *reader) identity(n *node, t *rating.Tariff) {
	t.CountryCode = r.textField(n, "country_code")
	t.PartyID = r.textField(n, "party_id")
	t.ID = r.textField(n, "id")
	t.Type = r.textField(n, "type")
	t.Currency = r.textField(n, "currency")
	if t.ID == "" && r.check {
		r.warn(n, "id is missing")
	}
	if len(t.ID) > 36 {
		r.lacks(n.get("id"), "is longer than 36 characters")
	}
	if f := n.get("currency"); f == nil {
		if r.check {
			r.lacks(n, "currency is missing")
		}
	} else if t.Currency != "" || f.kind == kindText {
		if len(t.Currency) != 3 || strings.Trim(t.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			r.fault(f, "%s is not an ISO 4217 currency code", f.what())
		}
	}
	switch t.Type {
	case "", "AD_HOC_PAYMENT", "PROFILE_CHEAP", "PROFILE_FAST", "PROFILE_GREEN", "REGULAR":
	default:
		r.lacks(n.get("type"), "%s is not a TariffType", n.get("type").what())
	}
}

func (r *reader) taxIncluded(n *node) rating.TaxIncluded {
	if n == nil {
		return rating.TaxIncludedNo // OCPI before 2.3.0 has no such field: prices are without tax
	}
	switch {
	case n.kind == kindText && n.text == "NO":
		return rating.TaxIncludedNo
	case n.kind == kindText && n.text == "YES":
		return rating.TaxIncludedYes
	case n.kind == kindText && n.text == "N/A":
		return rating.TaxIncludedNA
	}
	r.fault(n, "%s is not YES, NO or N/A", n.what())
	return rating.TaxIncludedNo
}

// priceLimit reads a PriceLimit of OCPI 2.3.0 (before_taxes, after_taxes) or a Price of 2.2.1 (excl_vat, incl_vat).
func (r *reader) priceLimit(n *node) rating.PriceLimit {
	limit := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	if n == nil || !r.object(n) {
		return limit
	}
	excl, incl := n.get("before_taxes"), n.get("after_taxes")
	exclOld, inclOld := n.get("excl_vat"), n.get("incl_vat")
	if (excl != nil || incl != nil) && (exclOld != nil || inclOld != nil) {
		r.fault(n, "has the fields of OCPI 2.2.1 and of 2.3.0")
		return limit
	}
	if exclOld != nil || inclOld != nil {
		excl, incl = exclOld, inclOld
	}
	if excl == nil {
		r.lacks(n, "before_taxes is missing")
	} else if v, ok := r.price(excl); ok {
		limit.ExclNano = v
	}
	if incl != nil {
		if v, ok := r.price(incl); ok {
			limit.InclNano = v
		}
	}
	r.unknownFields(n, r.warn, "before_taxes", "after_taxes", "excl_vat", "incl_vat")
	return limit
}

// validity reads the dates of the tariff. `price` ignores them (EXACTNESS 1), so there nothing of them is a fault.
func (r *reader) validity(n *node, t *rating.Tariff) {
	read := func(key string, to *int64) {
		f := n.get(key)
		if f == nil {
			return
		}
		dates := reader{}
		if ms, ok := dates.dateTime(f); ok {
			*to = ms
			return
		}
		for _, fault := range dates.rep.Faults {
			r.lacks(f, "%s", fault.Problem)
		}
	}
	read("start_date_time", &t.ValidFromMs)
	read("end_date_time", &t.ValidToMs)
	read("last_updated", &t.LastUpdatedMs)
}

func (r *reader) element(n *node) rating.Element {
	e := rating.Element{Restrictions: noRestrictions()}
	if !r.object(n) {
		return e
	}
	components := n.get("price_components")
	switch {
	case components == nil:
		r.fault(n, "price_components is missing")
	case !r.list(components):
	case len(components.items) == 0:
		r.fault(components, "there is no price component")
	default:
		e.Components = make([]rating.Component, len(components.items))
		for i, item := range components.items {
			e.Components[i] = r.component(item)
		}
	}
	if f := n.get("restrictions"); f != nil {
		e.Restrictions = r.restrictions(f)
	}
	r.unknownFields(n, r.warn, "price_components", "restrictions")
	return e
}

func (r *reader) component(n *node) rating.Component {
	c := rating.Component{VAT: rating.NoVAT}
	if !r.object(n) {
		return c
	}
	if f := n.get("type"); f == nil {
		r.fault(n, "type is missing")
	} else if s, ok := r.textOf(f); ok {
		if c.Dimension, ok = dimensionOf(s); !ok {
			r.fault(f, "%s is not a dimension (ENERGY, FLAT, TIME, PARKING_TIME)", f.what())
		}
	}
	if f := n.get("price"); f == nil {
		r.fault(n, "price is missing")
	} else if v, ok := r.price(f); ok {
		c.PriceNano = v
	}
	if f := n.get("vat"); f != nil {
		if v, ok := r.positive(f, vatDigits, "2 fraction digits"); ok && v > rating.MaxVAT {
			r.fault(f, "%s is too large", f.what())
		} else if ok {
			c.VAT = int32(v)
		}
	}
	if f := n.get("step_size"); f == nil {
		r.fault(n, "step_size is missing")
	} else if v, ok := r.positive(f, 0, "a whole number"); ok && v > maxStepSize {
		r.fault(f, "%s is too large", f.what())
	} else if ok {
		c.StepSize = v
	}
	r.unknownFields(n, r.warn, "type", "price", "vat", "step_size")
	return c
}

// maxStepSize is the greatest step, in Wh or s, that rating.Compile takes.
const maxStepSize = 1_000_000_000_000

// price reads an amount in 1e-9 currency units; it may be negative.
func (r *reader) price(n *node) (int64, bool) {
	v, ok := r.fixed(n, priceDigits, "9 fraction digits")
	if ok && (v > rating.MaxPriceNano || v < -rating.MaxPriceNano) {
		r.fault(n, "%s is too large", n.what())
		return 0, false
	}
	return v, ok
}

func dimensionOf(s string) (rating.Dimension, bool) {
	for d := range rating.NumDimensions {
		if dimensionText(d) == s {
			return d, true
		}
	}
	return 0, false
}

// dimensionText is the OCPI TariffDimensionType of d.
func dimensionText(d rating.Dimension) string {
	switch d {
	case rating.Flat:
		return "FLAT"
	case rating.Energy:
		return "ENERGY"
	case rating.Time:
		return "TIME"
	default:
		return "PARKING_TIME"
	}
}

// vatRates refuses the component that brings one rate too many (EXACTNESS 1).
func (r *reader) vatRates(elements *node, t *rating.Tariff) {
	seen := make(map[int32]bool)
	for i, e := range t.Elements {
		for j, c := range e.Components {
			if seen[c.VAT] {
				continue
			}
			seen[c.VAT] = true
			if len(seen) == rating.MaxVATRates+1 {
				n := elements.items[i].get("price_components").items[j]
				r.fault(n, "brings a fifth VAT rate into the tariff; at most %d are possible (none counts as one)", rating.MaxVATRates)
			}
		}
	}
}
