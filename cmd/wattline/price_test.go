package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runCLI runs the program with files made of texts; "FILE0", "FILE1", ... in args stand for their names.
func runCLI(t *testing.T, args []string, files ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	names := make([]string, 0, 2*len(files))
	for i, text := range files {
		name := "FILE" + string(rune('0'+i))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name, path)
	}
	replaced := make([]string, len(args))
	for i, a := range args {
		replaced[i] = strings.NewReplacer(names...).Replace(a)
	}
	var out, errs strings.Builder
	code = dispatch(context.Background(), stdio{strings.NewReader(""), &out, &errs}, replaced)
	return code, out.String(), strings.ReplaceAll(errs.String(), dir+string(filepath.Separator), "")
}

func split(args string) []string { return strings.Fields(args) }

const (
	tariffFile = `tariffs:
  t1: {currency: EUR, elements: [{price_components: [
    {type: ENERGY, price: "0.25", vat: 10, step_size: 1}, {type: FLAT, price: "0.5", vat: 20, step_size: 1}]}]}
`
	goodSession = `- {id: good, tariff: t1, expect: {excl: "0.75", incl: "0.8750"}, readings: [
    {at: "2024-01-15T10:00:00.000Z", energy_wh: "0", state: CHARGING},
    {at: "2024-01-15T11:00:00.000Z", energy_wh: "1000", state: IDLE}]}
`
	wrongSession = `- {id: wrong, tariff: t1, expect: {excl: "0.7501"}, readings: [
    {at: "2024-01-15T10:00:00.000Z", energy_wh: "0", state: CHARGING},
    {at: "2024-01-15T11:00:00.000Z", energy_wh: "1000", state: IDLE}]}
`
	faultySession = `- {id: faulty, tariff: t1, readings: [
    {at: "2024-01-15T10:00:00.000Z", energy_wh: "5", state: CHARGING},
    {at: "2024-01-15T11:00:00.000Z", energy_wh: "4", state: IDLE}]}
`
)

// lines decodes the JSON lines of an output.
func lines(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

func TestPriceVectors(t *testing.T) {
	f := func(flags string) {
		t.Helper()
		args := split("price " + flags + " --check testdata/vectors/ocpi.yaml testdata/vectors/decisions.yaml")
		code, out, _ := runCLI(t, args)
		if code != exitOK || !strings.HasSuffix(out, "\n77 equal, 0 differ\n") {
			t.Errorf("%s: exit %d, output ends with %q", flags, code, out[max(0, len(out)-100):])
		}
	}
	f("")
	f("--oracle")
	f("--explain")
	f("--decimals 2") // what is compared has the decimals of the expectation
}

func TestPriceOutput(t *testing.T) {
	code, out, errs := runCLI(t, split("price FILE0"), tariffFile+"sessions:\n"+goodSession)
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	want := `{"id":"good","excl":"0.750000","incl":"0.875000","currency":"EUR","energy_mwh":1000000,"charging_ms":3600000,"parking_ms":0,"reservation_ms":0,"lines":[` +
		`{"kind":"usage","period":0,"from":"2024-01-15T10:00:00.000Z","to":"2024-01-15T11:00:00.000Z","split":"start","dimension":"FLAT","energy_mwh":0,"duration_ms":0,"element":0,"component":1,"price":"0.5","vat":"20","excl":"0.500000","incl":"0.600000","interpolated":false},` +
		`{"kind":"usage","period":0,"from":"2024-01-15T10:00:00.000Z","to":"2024-01-15T11:00:00.000Z","split":"start","dimension":"ENERGY","energy_mwh":1000000,"duration_ms":0,"element":0,"component":0,"price":"0.25","vat":"10","excl":"0.250000","incl":"0.275000","interpolated":false},` +
		`{"kind":"usage","period":0,"from":"2024-01-15T10:00:00.000Z","to":"2024-01-15T11:00:00.000Z","split":"start","dimension":"TIME","energy_mwh":0,"duration_ms":3600000,"element":null,"component":null,"price":null,"vat":null,"excl":"0.000000","incl":"0.000000","interpolated":false}]}` + "\n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestPriceDecimals(t *testing.T) {
	f := func(decimals, excl, incl string) {
		t.Helper()
		code, out, errs := runCLI(t, split("price --decimals "+decimals+" FILE0"), tariffFile+"sessions:\n"+goodSession)
		if code != exitOK {
			t.Fatalf("exit %d, %s", code, errs)
		}
		if l := lines(t, out)[0]; l["excl"] != excl || l["incl"] != incl {
			t.Errorf("%s decimals: %v %v, want %s %s", decimals, l["excl"], l["incl"], excl, incl)
		}
	}
	f("0", "1", "1")
	f("1", "0.8", "0.9")
	f("2", "0.75", "0.88")
	f("9", "0.750000000", "0.875000000")
	f("18", "0.750000000000000000", "0.875000000000000000")
}

func TestPriceChecks(t *testing.T) {
	sessions := tariffFile + "sessions:\n" + goodSession + wrongSession
	code, out, errs := runCLI(t, split("price --check FILE0"), sessions)
	if code != exitFault || !strings.HasSuffix(out, "\n1 equal, 1 differ\n") {
		t.Errorf("exit %d, %s", code, out)
	}
	if want := "wrong: excl is 0.7500, expected 0.7501\n"; errs != want {
		t.Errorf("got %q, want %q", errs, want)
	}
	if l := lines(t, out); l[0]["differs"] != nil || l[1]["differs"] == nil {
		t.Errorf("differs: %v", l)
	}
	if code, out, _ = runCLI(t, split("price FILE0"), sessions); code != exitOK || strings.Contains(out, "differ") {
		t.Errorf("without --check: exit %d, %s", code, out)
	}
	nothing := strings.Replace(goodSession, "expect: {excl: \"0.75\", incl: \"0.8750\"}, ", "", 1)
	if code, out, _ = runCLI(t, split("price --check FILE0"), tariffFile+"sessions:\n"+nothing); code != exitOK || !strings.HasSuffix(out, "0 equal, 0 differ\n") {
		t.Errorf("nothing to compare: exit %d, %s", code, out)
	}
}

func TestPriceFaultySession(t *testing.T) {
	code, out, _ := runCLI(t, split("price FILE0"), tariffFile+"sessions:\n"+faultySession+goodSession+strings.Replace(strings.Replace(goodSession, "t1", "t9", 1), "good", "other", 1)+goodSession)
	if code != exitFault {
		t.Errorf("exit %d", code)
	}
	l := lines(t, out)
	if len(l) != 4 || l[0]["id"] != "faulty" || l[0]["error"] != "sessions[0].readings[1].energy_wh: \"4\" is a register that goes down" {
		t.Fatalf("got %v", l)
	}
	if l[1]["id"] != "good" || l[1]["excl"] != "0.750000" {
		t.Errorf("the good one: %v", l[1])
	}
	if l[2]["error"] != "sessions[2].tariff: there is no tariff \"t9\"" {
		t.Errorf("an unknown tariff: %v", l[2])
	}
	if l[3]["error"] != "sessions[3].id: \"good\" is the id of a session before it" {
		t.Errorf("an id twice: %v", l[3])
	}
	if _, out, _ = runCLI(t, split("price --check FILE0"), tariffFile+"sessions:\n"+faultySession+goodSession); !strings.HasSuffix(out, "\n1 equal, 0 differ, 1 faulty\n") {
		t.Errorf("the summary: %s", out)
	}
}

func TestPriceFaultyFile(t *testing.T) {
	faulty := `tariffs: {t1: {elements: [{price_components: [{type: FLAT, price: 1, step_size: 1}]}, {price_components: [{type: FLAT, price: 1, step_size: 1}], restrictions: {start_time: "25:00"}}]}}` +
		"\nsessions:\n" + goodSession
	code, out, errs := runCLI(t, split("price FILE0 FILE1"), faulty, tariffFile+"sessions:\n"+goodSession)
	if code != exitFault {
		t.Errorf("exit %d", code)
	}
	if want := "FILE0: tariffs.t1.elements[1].restrictions.start_time: \"25:00\" is not a time of day (HH:MM)\n"; errs != want {
		t.Errorf("got %q, want %q", errs, want)
	}
	if l := lines(t, out); len(l) != 1 || l[0]["id"] != "good" {
		t.Errorf("the good file: %v", l)
	}
	if code, _, errs = runCLI(t, split("price no-such-file")); code != exitFault || !strings.Contains(errs, "no-such-file") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// A session may find its tariff in another file, if there is only one of that name.
func TestPriceTariffOfAnotherFile(t *testing.T) {
	sessions := "sessions:\n" + goodSession
	if code, out, _ := runCLI(t, split("price --check FILE0 FILE1"), sessions, tariffFile); code != exitOK || !strings.HasSuffix(out, "1 equal, 0 differ\n") {
		t.Errorf("exit %d, %s", code, out)
	}
	code, out, _ := runCLI(t, split("price FILE0 FILE1 FILE2"), sessions, tariffFile, tariffFile)
	if code != exitFault || lines(t, out)[0]["error"] != "sessions[0].tariff: \"t1\" is in more than one of the other files" {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestPriceUnknownExcl(t *testing.T) {
	file := `{"tariffs": {"t": {"tax_included": "YES", "elements": [{"price_components": [{"type": "ENERGY", "price": 1.5, "step_size": 1}]}]}},
	"sessions": [{"id": "s", "tariff": "t", "readings": [{"at": "2024-01-15T10:00:00Z", "energy_wh": 0, "state": "CHARGING"}, {"at": "2024-01-15T11:00:00Z", "energy_wh": 1000, "state": "IDLE"}]}]}`
	code, out, _ := runCLI(t, split("price --decimals 2 FILE0"), file)
	l := lines(t, out)[0]
	if code != exitOK || l["excl"] != nil || l["incl"] != "1.50" || l["currency"] != nil {
		t.Errorf("exit %d, %v", code, l)
	}
	code, out, _ = runCLI(t, split("price --explain FILE0"), file)
	if code != exitOK || !strings.Contains(out, "not known") || !strings.Contains(out, "include tax") {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestPriceExplain(t *testing.T) {
	file := `tariffs:
  night: {currency: EUR, min_price: {before_taxes: 20}, elements: [
    {price_components: [{type: ENERGY, price: "0.20", vat: 21, step_size: 500}], restrictions: {start_time: "22:00", end_time: "06:00"}},
    {price_components: [{type: ENERGY, price: "0.40", vat: 21, step_size: 500}, {type: PARKING_TIME, price: 3, vat: 21, step_size: 60}]}]}
sessions:
- {id: s1, tariff: night, tz: Europe/Amsterdam, readings: [
    {at: "2024-01-15T20:30:00Z", energy_wh: "0", state: CHARGING},
    {at: "2024-01-15T21:30:00Z", energy_wh: "11200", state: SUSPENDED_EV},
    {at: "2024-01-15T22:00:01.5Z", energy_wh: "11200", state: IDLE}]}
`
	code, out, _ := runCLI(t, split("price --explain --decimals 2 FILE0"), file)
	want := `Session s1, tariff night
Mon 2024-01-15 21:30:00 CET to Mon 2024-01-15 23:00:01.500 CET (Europe/Amsterdam)
11.2 kWh, charging 1 h, parking 30 min 1.5 s

  Mon 2024-01-15 21:30:00 CET  start
    energy 5.6 kWh at 0.4 per kWh + 21 % tax                           2.710400
    charging time 30 min, free of charge                               0.000000
  Mon 2024-01-15 22:00:00 CET  the price changes at this time of day
    energy 5.6 kWh at 0.2 per kWh + 21 % tax                           1.355200
    charging time 30 min, free of charge                               0.000000
  Mon 2024-01-15 22:30:00 CET  the car begins or stops charging
    parking time 30 min 1.5 s at 3 per hour + 21 % tax                 1.816513
  At the end
    rounded up: energy 0.3 kWh at 0.2 per kWh + 21 % tax               0.072600
    rounded up: parking time 58.5 s at 3 per hour + 21 % tax           0.058987
    without tax raised to the minimum price                            0.000000

    To pay                                                                 6.01 EUR
      of this without tax                                                 20.00 EUR

`
	if code != exitOK || out != want {
		t.Errorf("exit %d, got\n%s\nwant\n%s", code, out, want)
	}
}

func TestTariffCheck(t *testing.T) {
	bad := `{"id": "t", "currency": "EUR", "elements": [{"price_components": [{"type": "ENERGY", "price": 1, "step_size": 1}],
	 "restrictions": {"dayOfWeek": ["MONDAY"], "start_time": "25:00"}}, {"price_components": [{"type": "X", "price": 1, "step_size": 1}]}]}`
	code, out, errs := runCLI(t, split("tariff check FILE0"), bad)
	if code != exitFault || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, want := range []string{
		"FILE0: elements[0].restrictions.dayOfWeek: unknown restriction",
		"FILE0: elements[0].restrictions.start_time: \"25:00\" is not a time of day (HH:MM)\n",
		"FILE0: elements[1].price_components[0].type: \"X\" is not a dimension",
		"\n1 tariffs, 1 faulty, 0 warnings\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	f := func(want int, summary string, files ...string) {
		t.Helper()
		args := []string{"tariff", "check"}
		for i := range files {
			args = append(args, "FILE"+string(rune('0'+i)))
		}
		code, out, errs := runCLI(t, args, files...)
		if code != want || !strings.HasSuffix(out, summary+"\n") {
			t.Errorf("exit %d, %s%s", code, out, errs)
		}
	}
	good := `{"currency": "EUR", "elements": [{"price_components": [{"type": "ENERGY", "price": 1, "step_size": 1}]}]}`
	f(exitOK, "1 tariffs, 0 faulty, 1 warnings", good) // an absent id is a warning
	f(exitOK, "2 tariffs, 0 faulty, 2 warnings", "["+good+","+good+"]")
	f(exitFault, "2 tariffs, 1 faulty, 1 warnings", good, bad)
	f(exitFault, "0 tariffs, 0 faulty, 0 warnings", "{")
	f(exitOK, "1 tariffs, 0 faulty, 1 warnings", tariffFile)
}

func TestCommandLine(t *testing.T) {
	f := func(args string, want int, in string) {
		t.Helper()
		code, out, errs := runCLI(t, split(args), tariffFile+"sessions:\n"+goodSession)
		if code != want || !strings.Contains(out+errs, in) {
			t.Errorf("wattline %s: exit %d, want %d; %q is not in\n%s%s", args, code, want, in, out, errs)
		}
	}
	f("", exitUsage, "wattline price")
	f("help", exitOK, "wattline tariff check FILE...")
	f("--help", exitOK, "wattline price")
	f("help price", exitOK, "-decimals")
	f("help tariff check", exitOK, "OCPI")
	f("help nothing", exitUsage, `no command "nothing"`)
	f("prices", exitUsage, `no command "prices"`)
	f("tariff", exitUsage, "tariff needs: check\n")
	f("config", exitUsage, "config needs: check or show\n")
	f("help reference", exitUsage, "reference needs: load or log\n")
	f("--version", exitOK, "rating version")
	f("version x", exitUsage, "\"x\"")
	f("demo --speed 0", exitUsage, "--speed 0 is not between 1 and 3600\nsee `wattline help demo`\n")
	f("demo foo", exitUsage, "no argument \"foo\"")
	f("run foo", exitUsage, "no argument \"foo\"")
	f("load", exitUsage, "--readings is 0")
	f("load --readings 1 --format ocpp16", exitUsage, "is none of protobuf, json, ocpp201, packed and arrow")
	f("load --readings 5 --shape foo", exitUsage, "--shape \"foo\"")
	f("adopt", exitUsage, "--topic is missing")
	f("leave", exitUsage, "--engine is missing")
	f("adopt --topic t", exitUsage, "--partition is missing")
	f("adopt --topic t --partition 99999999999", exitUsage, "--partition 99999999999")
	f("adopt --topic t --partition 1 --from x", exitUsage, "--from x is neither")
	f("migrate x", exitUsage, "no argument \"x\"")
	f("tariff chek FILE0", exitUsage, `no command "tariff chek"`)
	f("price", exitUsage, "it needs a file\nsee `wattline help price`\n")
	f("tariff check", exitUsage, "it needs a file")
	f("price -h", exitOK, "-explain")
	f("price --no-such FILE0", exitUsage, "no-such")
	f("price --decimals 19 FILE0", exitUsage, "0 to 18")
	f("price --decimals x FILE0", exitUsage, "x")
	f("price FILE0 --decimals 1", exitOK, `"0.8"`)
	f("price -- FILE0", exitOK, `"good"`)
}
