package ocpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wattline/wattline/rating"
)

// The slow decoder: the same rules, written from doc.go over a tree that encoding/json reads, with big.Rat and
// package time. It shares nothing with the fast one but the constants of the limits.

var errSlow = errors.New("refused")

// object keeps the order and the repeats of an object's members, which a map would lose.
type object []struct {
	key   string
	value any
}

// tree reads one JSON value: object, []any, string, json.Number, bool or nil.
func tree(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == MaxDepth {
		return nil, errSlow
	}
	if open == '[' {
		list := []any{}
		for dec.More() {
			v, err := tree(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	o := object{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := tree(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o = append(o, struct {
			key   string
			value any
		}{k.(string), v})
	}
	_, err = dec.Token()
	return o, err
}

// pick returns the members of o that are named; a repeated one is refused.
func pick(o object, names ...string) (map[string]any, error) {
	out := map[string]any{}
	for _, m := range o {
		for _, n := range names {
			if m.key != n {
				continue
			}
			if _, twice := out[n]; twice {
				return nil, errSlow
			}
			out[n] = m.value
		}
	}
	return out, nil
}

func slowDecode(value []byte) ([]rating.Reading, error) { return slowDecodeAs(value, false) }

// slowDecodeAs is slowDecode for one of the families of OCPP: two is 2.x.
func slowDecodeAs(value []byte, two bool) ([]rating.Reading, error) {
	if len(value) > MaxBytes || !json.Valid(value) {
		return nil, errSlow
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	root, err := tree(dec, 0)
	if err != nil {
		return nil, err
	}
	charger, direction := "", ""
	frame, isFrame := root.([]any)
	if !isFrame {
		o, ok := root.(object)
		if !ok {
			return nil, errSlow
		}
		m, err := pick(o, "charger", "direction", "frame")
		if err != nil {
			return nil, err
		}
		if charger, err = slowID(m["charger"], MaxChargePoint); err != nil {
			return nil, err
		}
		if m["direction"] != nil {
			if direction, ok = m["direction"].(string); !ok || direction != "in" && direction != "out" {
				return nil, errSlow
			}
		}
		if frame, ok = m["frame"].([]any); !ok {
			return nil, errSlow
		}
	}
	readings, err := slowFrame(frame, direction, two)
	for i := range readings {
		readings[i].ChargePoint = []byte(charger)
	}
	return readings, err
}

// slowID takes null or a string.
func slowID(v any, limit int) (string, error) {
	if v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok || len(s) > limit || !utf8.ValidString(s) {
		return "", errSlow
	}
	return s, nil
}

func slowFrame(frame []any, direction string, two bool) ([]rating.Reading, error) {
	if len(frame) < 2 {
		return nil, errSlow
	}
	kind, ok := frame[0].(json.Number)
	id, ok2 := frame[1].(string)
	if !ok || !ok2 || kind != "2" && kind != "3" && kind != "4" && (!two || kind != "5" && kind != "6") {
		return nil, errSlow
	}
	if kind > "3" || two && kind == "3" {
		return nil, nil
	}
	if kind == "3" {
		if len(frame) < 3 || direction == "in" {
			return nil, nil
		}
		if o, ok := frame[2].(object); ok {
			return slowAnswer(o, id)
		}
		return nil, nil
	}
	if len(frame) < 3 {
		return nil, errSlow
	}
	action, ok := frame[2].(string)
	if !ok {
		return nil, errSlow
	}
	f := map[string]func(object, string) ([]rating.Reading, error){
		"MeterValues": slowMeterValues, "StartTransaction": slowStart, "StopTransaction": slowStop, "StatusNotification": slowStatus,
	}[action]
	if two {
		f = map[string]func(object, string) ([]rating.Reading, error){
			"TransactionEvent": slowEvent, "MeterValues": slowMeterValues2, "StatusNotification": slowStatus2,
		}[action]
	}
	if f == nil || direction == "out" {
		return nil, nil
	}
	if len(frame) < 4 {
		return nil, errSlow
	}
	o, ok := frame[3].(object)
	if !ok {
		return nil, errSlow
	}
	return f(o, id)
}

func slowAnswer(o object, id string) ([]rating.Reading, error) {
	m, err := pick(o, "transactionId")
	if err != nil {
		return nil, err
	}
	r := blank()
	r.Kind, r.MessageID = rating.KindAnswer, []byte(id)
	if r.Transaction, err = slowTransaction(m["transactionId"]); err != nil || len(r.Transaction) == 0 {
		return nil, err
	}
	if len(id) > MaxMessageID {
		return nil, errSlow
	}
	return []rating.Reading{r}, nil
}

func slowStart(o object, id string) ([]rating.Reading, error) {
	m, err := pick(o, "connectorId", "idTag", "meterStart", "timestamp")
	if err != nil {
		return nil, err
	}
	r := blank()
	r.Kind, r.Context, r.MessageID = rating.KindStart, rating.ContextBegin, []byte(id)
	if m["connectorId"] == nil || len(id) > MaxMessageID {
		return nil, errSlow
	}
	var errs [3]error
	r.Connector, errs[0] = slowConnector(m["connectorId"])
	r.Token, errs[1] = slowToken(m["idTag"])
	r.RegisterMwh, r.ResolutionMwh, errs[2] = slowMeter(m["meterStart"])
	r.AtMs, r.Flags = slowTime(m["timestamp"])
	return []rating.Reading{r}, errors.Join(errs[:]...)
}

func slowStop(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "idTag", "meterStop", "timestamp", "transactionId", "transactionData")
	if err != nil {
		return nil, err
	}
	r := blank()
	r.Kind, r.Context = rating.KindStop, rating.ContextEnd
	var errs [3]error
	r.Transaction, errs[0] = slowTransaction(m["transactionId"])
	r.Token, errs[1] = slowToken(m["idTag"])
	r.RegisterMwh, r.ResolutionMwh, errs[2] = slowMeter(m["meterStop"])
	r.AtMs, r.Flags = slowTime(m["timestamp"])
	if len(r.Transaction) == 0 || errors.Join(errs[:]...) != nil {
		return nil, errSlow
	}
	if r.RegisterMwh == rating.Unknown {
		r.Flags |= rating.ReadingStopUnknown
	}
	out, signed, err := slowList(m["transactionData"], false)
	if err != nil {
		return nil, err
	}
	r.Flags |= signed
	for i := range out {
		out[i].Transaction = r.Transaction
	}
	return append(out, r), nil
}

func slowStatus(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "connectorId", "status", "timestamp")
	if err != nil {
		return nil, err
	}
	r := blank()
	r.Kind = rating.KindStatus
	if r.Connector, err = slowConnector(m["connectorId"]); err != nil {
		return nil, err
	}
	word, _ := m["status"].(string)
	r.State = map[string]rating.ChargeState{
		"Charging": rating.StateCharging, "SuspendedEV": rating.StateSuspendedEV, "SuspendedEVSE": rating.StateSuspendedEVSE,
		"Faulted": rating.StateSuspendedEVSE, "Finishing": rating.StateIdle, "Available": rating.StateIdle,
	}[slowTrim(word)]
	if r.State == rating.StateUnchanged {
		return nil, nil
	}
	if m["timestamp"] != nil {
		r.AtMs, r.Flags = slowTime(m["timestamp"])
	}
	return []rating.Reading{r}, nil
}

func slowMeterValues(o object, _ string) ([]rating.Reading, error) {
	m, err := pick(o, "connectorId", "transactionId", "meterValue")
	if err != nil {
		return nil, err
	}
	connector, err := slowConnector(m["connectorId"])
	if err != nil {
		return nil, err
	}
	transaction, err := slowTransaction(m["transactionId"])
	if err != nil {
		return nil, err
	}
	if _, there := m["meterValue"]; !there {
		return nil, errSlow
	}
	out, _, err := slowList(m["meterValue"], false)
	for i := range out {
		out[i].Connector, out[i].Transaction = connector, transaction
	}
	return out, err
}

// slowSample is one sampled value that counts.
type slowSample struct {
	element  int
	context  rating.Context
	quantity string
	phase    string // "1", "2", "3" or "" for the total
	rank     int
	v, step  int64
	guessed  bool
	signed   bool
}

// slowList makes the readings of a list of meter values: elements with one time belong together. signed is the flag
// of all readings of a message with a signed value.
func slowList(v any, two bool) (out []rating.Reading, signed rating.ReadingFlags, err error) {
	if v == nil {
		return nil, 0, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, 0, errSlow
	}
	read := slowSampled
	if two {
		read = slowSampled2
	}
	var pending []slowSample
	at, flags := int64(rating.Unknown), rating.ReadingFlags(0)
	for i, e := range list {
		o, ok := e.(object)
		if !ok {
			return nil, 0, errSlow
		}
		m, err := pick(o, "timestamp", "sampledValue")
		if err != nil {
			return nil, 0, err
		}
		t, f := slowTime(m["timestamp"])
		if t == rating.Unknown || t != at {
			out = append(out, slowReadings(pending, at, flags)...)
			pending, at, flags = nil, t, 0
		}
		flags |= f
		if m["sampledValue"] == nil {
			continue
		}
		samples, ok := m["sampledValue"].([]any)
		if !ok {
			return nil, 0, errSlow
		}
		for _, s := range samples {
			o, ok := s.(object)
			if !ok {
				return nil, 0, errSlow
			}
			sample, use, err := read(o)
			if err != nil {
				return nil, 0, err
			}
			if sample.signed {
				signed = rating.ReadingSigned
			}
			if !use {
				continue
			}
			sample.element = i
			// A value that an earlier element has said begins another reading of its context.
			var same, others []slowSample
			repeated := false
			best := -1
			for _, p := range pending {
				if p.context == sample.context && p.quantity == sample.quantity {
					best = max(best, p.rank)
				}
			}
			for _, p := range pending {
				if p.context != sample.context {
					others = append(others, p)
					continue
				}
				same = append(same, p)
				repeated = repeated || p.quantity == sample.quantity && p.phase == sample.phase && p.rank == sample.rank &&
					p.rank == best && slowLast(pending, p) != sample.element
			}
			if repeated {
				out = append(out, slowReadings(same, at, flags)...)
				pending = others
			}
			pending = append(pending, sample)
		}
	}
	out = append(out, slowReadings(pending, at, flags)...)
	for i := range out {
		out[i].Flags |= signed
	}
	return out, signed, nil
}

// slowLast is the element whose value counts for the place of p.
func slowLast(pending []slowSample, p slowSample) int {
	var list []slowSample
	for _, x := range pending {
		if x.context == p.context && x.quantity == p.quantity && x.phase == p.phase && x.rank == p.rank {
			list = append(list, x)
		}
	}
	return slowFinest(list).element
}

// slowFinest is which of several values of one place counts: the finest register, else the last.
func slowFinest(list []slowSample) slowSample {
	best := list[0]
	for _, x := range list[1:] {
		if x.quantity != "energy" || x.step <= best.step {
			best = x
		}
	}
	return best
}

func slowReadings(samples []slowSample, at int64, flags rating.ReadingFlags) []rating.Reading {
	var out []rating.Reading
	for _, c := range []rating.Context{
		rating.ContextBegin, rating.ContextPeriodic, rating.ContextClock, rating.ContextOther, rating.ContextEnd,
	} {
		r := blank()
		r.AtMs, r.Context, r.Flags = at, c, flags
		any := false
		for _, quantity := range []string{"energy", "power", "current"} {
			rank := -1
			for _, s := range samples {
				if s.context == c && s.quantity == quantity {
					rank = max(rank, s.rank)
				}
			}
			places := map[string][]slowSample{}
			guessed := false
			for _, s := range samples {
				if s.context == c && s.quantity == quantity && s.rank == rank {
					places[s.phase] = append(places[s.phase], s)
				}
			}
			if len(places) == 0 {
				continue
			}
			any = true
			v, step := int64(0), int64(0)
			if list := places[""]; list != nil {
				s := slowFinest(list)
				v, step, guessed = s.v, s.step, s.guessed
			} else {
				for _, list := range places {
					s := slowFinest(list)
					v, step, guessed = v+s.v, max(step, s.step), guessed || s.guessed
				}
				if quantity == "energy" {
					r.Flags |= rating.ReadingPhaseSum
				}
			}
			switch quantity {
			case "energy":
				r.RegisterMwh, r.ResolutionMwh = v, step
				if guessed {
					r.Flags |= rating.ReadingUnitGuessed
				}
			case "power":
				r.PowerMicroW = v
			case "current":
				r.CurrentNanoA = v
			}
		}
		if any && (r.RegisterMwh != rating.Unknown || c != rating.ContextBegin && c != rating.ContextEnd) {
			out = append(out, r)
		}
	}
	return out
}

// slowWord is the trimmed word of an optional member: "" if it is not said, "?" if it is no string.
func slowWord(v any) string {
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		return "?"
	}
	return slowTrim(s)
}

func slowTrim(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

func slowSampled(o object) (s slowSample, use bool, err error) {
	m, err := pick(o, "value", "context", "format", "measurand", "phase", "location", "unit")
	if err != nil {
		return s, false, err
	}
	return slowSample1(m, 0)
}

// slowSample1 is a sampled value of OCPP 1.6 in a unit times 10^multiplier.
func slowSample1(m map[string]any, multiplier int) (s slowSample, use bool, err error) {
	s.signed = slowWord(m["format"]) == "SignedData"
	switch slowWord(m["context"]) {
	case "", "Sample.Periodic":
	case "Sample.Clock":
		s.context = rating.ContextClock
	case "Transaction.Begin":
		s.context = rating.ContextBegin
	case "Transaction.End":
		s.context = rating.ContextEnd
	default:
		s.context = rating.ContextOther
	}
	switch slowWord(m["phase"]) {
	case "":
	case "L1", "L1-N":
		s.phase = "1"
	case "L2", "L2-N":
		s.phase = "2"
	case "L3", "L3-N":
		s.phase = "3"
	default:
		return s, false, nil
	}
	if s.signed {
		return s, false, nil
	}
	rank, known := map[string]int{"": 4, "Outlet": 4, "Cable": 3, "EV": 2, "Body": 1, "Inlet": 0}[slowWord(m["location"])]
	if s.rank = rank; !known {
		s.rank = 1
	}
	unit := strings.ToLower(slowWord(m["unit"]))
	if unit == "amp" && slowWord(m["unit"]) != "Amp" {
		unit = "?"
	}
	switch slowWord(m["measurand"]) {
	case "":
		s.quantity = map[string]string{"": "energy", "wh": "energy", "kwh": "energy", "w": "power", "kw": "power", "a": "current", "amp": "current"}[unit]
	case "Energy.Active.Import.Register":
		s.quantity = "energy"
	case "Power.Active.Import":
		s.quantity = "power"
	case "Current.Import":
		s.quantity = "current"
	}
	if s.quantity == "" {
		return s, false, nil
	}
	fault := error(nil)
	if s.quantity == "energy" {
		fault = errSlow
	}
	scale, ok := map[string]int{
		"energy/": 3, "energy/wh": 3, "energy/kwh": 6, "power/": 6, "power/w": 6, "power/kw": 9, "current/": 9, "current/a": 9, "current/amp": 9,
	}[s.quantity+"/"+unit]
	if !ok {
		return s, false, fault
	}
	s.guessed = s.quantity == "energy" && unit == ""
	if s.v, s.step, ok = slowNumber(m["value"], scale+multiplier); !ok {
		return s, false, fault
	}
	return s, true, nil
}

var slowDecimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?0*[0-9]{1,2})?$`)

// slowNumber is a number times 10^scale, and its step.
func slowNumber(v any, scale int) (n, step int64, ok bool) {
	var text string
	switch v := v.(type) {
	case string:
		text = slowTrim(v)
	case json.Number:
		text = v.String()
	default:
		return 0, 0, false
	}
	if !slowDecimal.MatchString(text) {
		return 0, 0, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	e := new(big.Int)
	if exponent != "" {
		e.SetString(strings.TrimPrefix(exponent, "+"), 10)
	}
	if e.CmpAbs(big.NewInt(18)) > 0 {
		return 0, 0, false
	}
	x, ok := new(big.Rat).SetString(mantissa)
	if !ok {
		return 0, 0, false
	}
	power := scale + int(e.Int64())
	ten := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, -power))), nil))
	if power < 0 {
		ten.Inv(ten)
	}
	x.Mul(x, ten)
	negative := x.Sign() < 0
	x.Abs(x).Add(x, big.NewRat(1, 2))
	whole := new(big.Int).Quo(x.Num(), x.Denom())
	if whole.Cmp(big.NewInt(maxQuantity)) > 0 {
		return 0, 0, false
	}
	n = whole.Int64()
	if negative {
		n = -n
	}
	decimals := 0
	if _, after, hasPoint := strings.Cut(mantissa, "."); hasPoint {
		decimals = len(after)
	}
	decimals = max(0, decimals-int(e.Int64()))
	if decimals < scale {
		step = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(min(scale-decimals, 18))), nil).Int64()
	}
	return n, step, true
}

var slowClock = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)([.,]\d+)?(|[Zz]|[+-]\d\d(:?\d\d)?)$`)

func slowTime(v any) (int64, rating.ReadingFlags) {
	const bad = rating.ReadingAtUnreadable
	s, ok := v.(string)
	if !ok {
		return rating.Unknown, bad
	}
	m := slowClock.FindStringSubmatch(slowTrim(s))
	if m == nil || strings.HasPrefix(m[1], "0000") {
		return rating.Unknown, bad
	}
	leap := time.Duration(0)
	if m[3] == "60" {
		m[3], leap = "59", time.Second
	}
	t, err := time.Parse("2006-01-02 15:04:05", m[1]+" "+m[2]+":"+m[3])
	if err != nil {
		return rating.Unknown, bad
	}
	ms := t.Add(leap).UnixMilli()
	if m[4] != "" {
		digits := (m[4][1:] + "000")[:3]
		n, _ := new(big.Int).SetString(digits, 10)
		ms += n.Int64()
	}
	if m[5] == "" {
		return ms, rating.ReadingNoZone
	}
	if len(m[5]) > 1 {
		z := strings.ReplaceAll(m[5][1:], ":", "") + "00"
		h, err := time.Parse("1504", z[:4])
		if err != nil {
			return rating.Unknown, bad
		}
		offset := int64(h.Hour()*60+h.Minute()) * 60_000
		if m[5][0] == '-' {
			offset = -offset
		}
		ms -= offset
	}
	return ms, 0
}

var (
	slowWhole   = regexp.MustCompile(`^-?[0-9]+$`)
	slowNatural = regexp.MustCompile(`^[0-9]+$`)
)

func slowConnector(v any) (int32, error) {
	if v == nil {
		return 0, nil
	}
	text, ok := slowText(v)
	n, _ := new(big.Int).SetString(text, 10)
	if !ok || !slowNatural.MatchString(text) || n.Cmp(big.NewInt(1<<31)) >= 0 {
		return 0, errSlow
	}
	return int32(n.Int64()), nil
}

func slowText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

func slowTransaction(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	text, ok := slowText(v)
	if _, number := v.(json.Number); number && !slowWhole.MatchString(text) || !ok || len(text) > MaxTransaction || !utf8.ValidString(text) {
		return nil, errSlow
	} else if number && text == "-0" {
		text = "0"
	}
	return []byte(text), nil
}

func slowToken(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	text, ok := slowText(v)
	if !ok || len(text) > MaxToken || !utf8.ValidString(text) {
		return nil, errSlow
	}
	return []byte(text), nil
}

// slowMeter is meterStart or meterStop, in Wh.
func slowMeter(v any) (register, step int64, err error) {
	if v == nil {
		return rating.Unknown, 0, nil
	}
	n, step, ok := slowNumber(v, 3)
	if !ok {
		return 0, 0, errSlow
	}
	if n < 0 {
		return rating.Unknown, 0, nil
	}
	return n, step, nil
}
