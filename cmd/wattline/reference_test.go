package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/reflog"
	"github.com/wattline/wattline/loadgen"
)

// referenceScene is an embedded Kafka, and a folder with the reference of a small city.
type referenceScene struct {
	t       *testing.T
	cfg     *config.Config
	dir     string
	network *loadgen.Network
	told    []string
}

func newReferenceScene(t *testing.T) *referenceScene {
	t.Helper()
	s := &referenceScene{t: t, dir: t.TempDir()}
	var err error
	s.cfg, err = config.Load("", []string{"WATTLINE_DATA_DIR=" + t.TempDir(), "WATTLINE_KAFKA_EMBEDDED_ADDR=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	city := loadgen.City()
	city.ChargePoints = 30
	if s.network, err = loadgen.New(city); err == nil {
		err = s.network.WriteReference(s.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// load publishes the folder and returns the summary.
func (s *referenceScene) load(options reflog.Options) (summary string, err error) {
	s.t.Helper()
	s.told = nil
	err = withKafka(s.t.Context(), s.cfg, slog.New(slog.DiscardHandler), func(client *kafka.Client) error {
		return referenceLoad(s.t.Context(), client, s.cfg, s.dir, options, func(line string) { s.told = append(s.told, line) })
	})
	if len(s.told) > 0 {
		summary = s.told[len(s.told)-1]
	}
	return summary, err
}

// edit changes a JSON file of the folder.
func (s *referenceScene) edit(file string, change func(map[string]any)) {
	s.t.Helper()
	path := filepath.Join(s.dir, file)
	src, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(src, &object); err != nil {
		s.t.Fatal(err)
	}
	change(object)
	if src, err = json.Marshal(object); err == nil {
		err = os.WriteFile(path, src, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// firstFile is a file of a folder below the reference.
func (s *referenceScene) firstFile(folder string) string {
	s.t.Helper()
	list, err := filepath.Glob(filepath.Join(s.dir, folder, "*.json"))
	if err != nil || len(list) == 0 {
		s.t.Fatalf("no %s: %v", folder, err)
	}
	slices.Sort(list)
	name, err := filepath.Rel(s.dir, list[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

func TestReferenceLoad(t *testing.T) {
	s := newReferenceScene(t)
	all := len(s.network.Tariffs()) + s.network.Sites()
	f := func(options reflog.Options, added, withdrawn int) {
		t.Helper()
		summary, err := s.load(options)
		want := strings.Contains(summary, itoa(added)+" new or changed, "+itoa(withdrawn)+" withdrawn")
		if err != nil || !want {
			t.Errorf("want %d new, %d withdrawn; told %q, %v", added, withdrawn, s.told, err)
		}
	}
	by := reflog.Options{By: "ann@desk"}
	f(reflog.Options{By: "ann@desk", DryRun: true}, all, 0)
	f(by, all, 0)
	f(by, 0, 0)
	// The same in other words is the same; another price or power is not.
	s.edit(s.firstFile("locations"), func(l map[string]any) { l["charging_when_closed"] = true }) // no matter of prices, nor of CDRs
	f(by, 0, 0)
	s.edit(s.firstFile("locations"), func(l map[string]any) { l["time_zone"] = "Europe/Lisbon" })
	s.edit(s.firstFile("tariffs"), func(l map[string]any) { l["max_price"] = map[string]any{"incl_vat": 100, "excl_vat": 90} })
	f(by, 2, 0)
	if text := strings.Join(s.told, "\n"); strings.Count(text, "changed   ") != 2 || strings.Contains(text, "new       ") {
		t.Errorf("what changed is not listed: %s", text)
	}
	if err := os.Remove(filepath.Join(s.dir, s.firstFile("locations"))); err != nil {
		t.Fatal(err)
	}
	f(by, 0, 0)
	f(reflog.Options{By: "ann@desk", Withdraw: true}, 0, 1)
	f(reflog.Options{By: "ann@desk", Withdraw: true}, 0, 0)

	// The engine reads all of it: the installation first, then what was published.
	err := withKafka(t.Context(), s.cfg, slog.New(slog.DiscardHandler), func(client *kafka.Client) error {
		ref := engine.NewReference(reference.Decode, nil)
		if err := ref.Follow(t.Context(), client, s.cfg.Kafka.ReferenceTopic); err != nil {
			return err
		}
		if _, ok := ref.HashKey(); !ok || ref.Next() != int64(1+all+2+1) {
			t.Errorf("key %v, %d records, want %d", ok, ref.Next(), 1+all+2+1)
		}
		_, err := client.ReadLog(t.Context(), s.cfg.Kafka.ReferenceTopic, 0, 0, func(r engine.Record) error {
			if (r.Offset == 0) != (string(r.Key) == "installation") {
				t.Errorf("record %d is %s", r.Offset, r.Key)
			}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReferenceFaults(t *testing.T) {
	f := func(what string, spoil func(*referenceScene), wants ...string) {
		t.Helper()
		s := newReferenceScene(t)
		spoil(s)
		_, err := s.load(reflog.Options{})
		if err == nil {
			t.Errorf("%s: published", what)
			return
		}
		for _, w := range wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is not in %v", what, w, err)
			}
		}
	}
	f("an empty folder", func(s *referenceScene) { s.dir = t.TempDir() }, ".json, .yaml or .yml")
	f("two faults in two files", func(s *referenceScene) {
		s.edit(s.firstFile("tariffs"), func(o map[string]any) {
			o["elements"].([]any)[0].(map[string]any)["restrictions"] = map[string]any{"start_time": "25:00"}
		})
		s.edit(s.firstFile("locations"), func(o map[string]any) { o["time_zone"] = "Europe/Atlantis" })
	}, "there are 2 faults", `elements[0].restrictions.start_time: "25:00" is not a time of day`, `time_zone: "Europe/Atlantis"`, ".json")
	f("the same tariff in two files", func(s *referenceScene) {
		src, err := os.ReadFile(filepath.Join(s.dir, s.firstFile("tariffs")))
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "tariffs", "copy.json"), src, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}, "is in", "too")
	f("no JSON", func(s *referenceScene) {
		if err := os.WriteFile(filepath.Join(s.dir, "tariffs", "x.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}, "x.json")
}
