package api

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wattline/wattline/engine"
)

// Around is what is known beside the engine itself, for /metrics. What is not given is not shown.
type Around struct {
	// Members returns how many engines the group has, this one included; 0: not known.
	Members func() int
	// StoreSkew returns by how much the store's clock is ahead of ours, and whether that is known.
	StoreSkew func() (ahead time.Duration, known bool)
	// MemoryLimitBytes is what the process may use before the system or the Go runtime acts; 0: not known.
	MemoryLimitBytes int64
	// streams returns how many prices are followed now. nil: none may be.
	streams func() int
	// Rules are what decides rows: all engines of a group need the same.
	Rules Rules
}

// Rules are the settings that decide rows, as texts. Two engines with other texts make other rows of the same messages.
type Rules struct {
	RatingVersion, Slice, SessionTimeout, Readings string
}

// aroundDescs are the figures of Around.
type aroundDescs struct{ members, skew, limit, streams, rules *prometheus.Desc }

func newAroundDescs() aroundDescs {
	return aroundDescs{
		members: prometheus.NewDesc("wattline_group_members", "Engines of the consumer group, as of its last assignment.", nil, nil),
		skew:    prometheus.NewDesc("wattline_store_clock_skew_seconds", "By how much the store's clock is ahead of this machine's, s; the error is half the time that the question took.", nil, nil),
		limit:   prometheus.NewDesc("wattline_memory_limit_bytes", "What the process may use: the least of GOMEMLIMIT, the control group's limit and the machine's memory.", nil, nil),
		streams: prometheus.NewDesc("wattline_price_streams", "Prices that are followed now; http.streams is the most.", nil, nil),
		rules:   prometheus.NewDesc("wattline_config_info", "1, with the settings that decide rows: all engines of a group need the same.", []string{"rating_version", "slice", "session_timeout", "readings"}, nil),
	}
}

func (d *aroundDescs) describe(ch chan<- *prometheus.Desc) {
	ch <- d.members
	ch <- d.skew
	ch <- d.limit
	ch <- d.streams
	ch <- d.rules
}

func (d *aroundDescs) collect(ch chan<- prometheus.Metric, a *Around) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	if a.Members != nil {
		if n := a.Members(); n > 0 {
			gauge(d.members, float64(n))
		}
	}
	if a.StoreSkew != nil {
		if ahead, known := a.StoreSkew(); known {
			gauge(d.skew, ahead.Seconds())
		}
	}
	if a.MemoryLimitBytes > 0 {
		gauge(d.limit, float64(a.MemoryLimitBytes))
	}
	if a.streams != nil {
		gauge(d.streams, float64(a.streams()))
	}
	if a.Rules != (Rules{}) {
		gauge(d.rules, 1, a.Rules.RatingVersion, a.Rules.Slice, a.Rules.SessionTimeout, a.Rules.Readings)
	}
}

// haltReason is the name of the page about a halt, out of its text (engine.Halt.Error); "" when the partition runs.
func haltReason(s *engine.PartitionStats) string {
	_, text, found := strings.Cut(s.Halted, "halted "+s.Partition.String()+": ")
	reason, _, more := strings.Cut(text, ": ")
	switch {
	case s.Halted == "":
		return ""
	case !found || !more || strings.ContainsAny(reason, " \t"):
		return "unknown"
	}
	return reason
}
