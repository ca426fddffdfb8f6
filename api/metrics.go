package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
)

// metric is one figure of a partition.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*engine.PartitionStats) (float64, bool) // false: not known
}

// collector turns the engine's figures into metrics when they are asked for. Floats end here: a metric is no amount.
type collector struct {
	health  Health
	version string
	around  Around
	metrics []metric
	halted  *prometheus.Desc
	failing *prometheus.Desc
	ready   *prometheus.Desc
	end     endDescs
	about   aroundDescs
	build   *prometheus.Desc
}

func newCollector(health Health, version string, around Around) *collector {
	c := &collector{
		health: health, version: version, around: around,
		halted:  prometheus.NewDesc("wattline_halted_partitions", "1: the partition stands still until an operator acts; the label says the page in docs/runbook, the log and /readyz the rest.", []string{"topic", "partition", "reason"}, nil),
		failing: prometheus.NewDesc("wattline_failing_partitions", "1: the partition failed and is started again, less and less often; the reason is in the log and in /readyz.", []string{"topic", "partition"}, nil),
		ready:   prometheus.NewDesc("wattline_ready", "1: in the consumer group, every partition rates, and every end works.", nil, nil),
		end:     newEndDescs(),
		about:   newAroundDescs(),
		build:   prometheus.NewDesc("wattline_build_info", "1, with the version.", []string{"version"}, nil),
	}
	count := func(name, help string, value func(*engine.PartitionStats) int64) {
		c.add(name, help, prometheus.CounterValue, func(s *engine.PartitionStats) (float64, bool) { return float64(value(s)), true })
	}
	gauge := func(name, help string, value func(*engine.PartitionStats) int64) {
		c.add(name, help, prometheus.GaugeValue, func(s *engine.PartitionStats) (float64, bool) { return float64(value(s)), true })
	}
	count("wattline_messages_total", "Kafka records rated.", func(s *engine.PartitionStats) int64 { return s.Records })
	count("wattline_readings_total", "Readings rated.", func(s *engine.PartitionStats) int64 { return s.Readings })
	count("wattline_rejects_total", "Readings and records sent to the rejects topic.", func(s *engine.PartitionStats) int64 { return s.Rejects })
	count("wattline_outside_readings_total", "Readings of no session: behind an end or between two sessions.", func(s *engine.PartitionStats) int64 { return s.Outside })
	count("wattline_sessions_opened_total", "Sessions begun.", func(s *engine.PartitionStats) int64 { return s.Opened })
	count("wattline_sessions_ended_total", "Sessions ended, provisionally or not.", func(s *engine.PartitionStats) int64 { return s.Ended })
	count("wattline_energy_milliwatthours_total", "Energy of the rows made, mWh.", func(s *engine.PartitionStats) int64 { return s.EnergyMwh })
	gauge("wattline_live_sessions", "Sessions that run.", func(s *engine.PartitionStats) int64 { return s.Live })
	gauge("wattline_held_sessions", "Sessions that wait for their charger or tariff.", func(s *engine.PartitionStats) int64 { return s.Held })
	count("wattline_blocks_total", "Blocks made durable.", func(s *engine.PartitionStats) int64 { return s.Blocks })
	count("wattline_rows_total", "Rows made durable in charges and sessions.", func(s *engine.PartitionStats) int64 { return s.Rows })
	count("wattline_cdrs_total", "CDRs of final sessions on their topic.", func(s *engine.PartitionStats) int64 { return s.CDRs })
	count("wattline_sessions_without_cdr_total", "Final sessions that can have no CDR; a reject says why.", func(s *engine.PartitionStats) int64 { return s.NoCDRs })
	count("wattline_prices_total", "Prices of running sessions on their topic.", func(s *engine.PartitionStats) int64 { return s.Prices })
	count("wattline_snapshots_total", "Snapshots made durable.", func(s *engine.PartitionStats) int64 { return s.Snapshots })
	count("wattline_snapshot_fallbacks_before_total", "Starts of the partition from the snapshot before the newest, which could not be used; the log says why.", func(s *engine.PartitionStats) int64 { return s.FallbackBefore })
	count("wattline_snapshot_fallbacks_ledger_total", "Starts of the partition without a snapshot, by rating every reading since its first block again.", func(s *engine.PartitionStats) int64 { return s.FallbackLedger })
	c.add("wattline_snapshot_stall_seconds_total", "Time that the shard spent on making images of its state for snapshots, s.", prometheus.CounterValue,
		func(s *engine.PartitionStats) (float64, bool) { return time.Duration(s.StallNs).Seconds(), true })
	c.add("wattline_snapshot_stall_seconds_max", "The longest piece of that: for so long nothing else was rated, s.", prometheus.GaugeValue,
		func(s *engine.PartitionStats) (float64, bool) { return time.Duration(s.StallMaxNs).Seconds(), true })
	c.add("wattline_rating_seconds_total", "Time spent rating, s.", prometheus.CounterValue,
		func(s *engine.PartitionStats) (float64, bool) { return time.Duration(s.RateNs).Seconds(), true })
	count("wattline_recoveries_total", "How often this process has brought the partition to its committed offset, to rate it on.", func(s *engine.PartitionStats) int64 { return s.Recoveries })
	gauge("wattline_next_offset", "Offset that is rated next.", func(s *engine.PartitionStats) int64 { return s.Position })
	c.add("wattline_committed_offset", "Offset below which all is durable and committed; not there before this process's first commit.", prometheus.GaugeValue,
		func(s *engine.PartitionStats) (float64, bool) { return float64(s.Committed), s.Committed > 0 })
	c.add("wattline_lag_messages", "Messages that are in the log and not rated.", prometheus.GaugeValue,
		func(s *engine.PartitionStats) (float64, bool) { return float64(max(0, s.End-s.Position)), s.End >= 0 })
	c.add("wattline_watermark_seconds", "Greatest record timestamp seen, s since 1970 UTC.", prometheus.GaugeValue, seconds(func(s *engine.PartitionStats) int64 { return s.WatermarkMs }))
	c.add("wattline_durable_watermark_seconds", "Greatest record timestamp whose rows are durable, s since 1970 UTC.", prometheus.GaugeValue, seconds(func(s *engine.PartitionStats) int64 { return s.DurableMs }))
	return c
}

// seconds gives a time of the log; there is none before the first record.
func seconds(ms func(*engine.PartitionStats) int64) func(*engine.PartitionStats) (float64, bool) {
	return func(s *engine.PartitionStats) (float64, bool) {
		v := ms(s)
		return float64(v) / 1000, v > 0
	}
}

func (c *collector) add(name, help string, kind prometheus.ValueType, value func(*engine.PartitionStats) (float64, bool)) {
	c.metrics = append(c.metrics, metric{prometheus.NewDesc(name, help, []string{"topic", "partition"}, nil), kind, value})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
	ch <- c.halted
	ch <- c.failing
	ch <- c.ready
	ch <- c.build
	c.end.describe(ch)
	c.about.describe(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.health.Stats() {
		labels := []string{s.Partition.Topic, strconv.Itoa(int(s.Partition.Number))}
		ch <- prometheus.MustNewConstMetric(c.halted, prometheus.GaugeValue, truth(s.Halted != ""), append(labels, haltReason(&s))...)
		if s.Halted != "" {
			continue // it has no figures any more
		}
		ch <- prometheus.MustNewConstMetric(c.failing, prometheus.GaugeValue, truth(s.Failing != ""), labels...)
		for i := range c.metrics {
			if v, ok := c.metrics[i].value(&s); ok {
				ch <- prometheus.MustNewConstMetric(c.metrics[i].desc, c.metrics[i].kind, v, labels...)
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, truth(notReady(c.health) == nil))
	for _, e := range c.health.Ends() {
		c.end.collect(ch, &e)
	}
	c.about.collect(ch, &c.around)
	ch <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1, c.version)
}

// endDescs are the figures of an end.
type endDescs struct{ state, changes, errors, waiting *prometheus.Desc }

func newEndDescs() endDescs {
	return endDescs{
		state:   prometheus.NewDesc("wattline_end_state", "1 for the state that the end is in, 0 for the others. An end is what the engine is connected to.", []string{"end", "state"}, nil),
		changes: prometheus.NewDesc("wattline_end_changes_total", "Changes of the end's state.", []string{"end"}, nil),
		errors:  prometheus.NewDesc("wattline_end_errors_total", "Calls of the end that failed, also those that the next try mended.", []string{"end"}, nil),
		waiting: prometheus.NewDesc("wattline_end_waiting", "Calls of the end that fail or hang now.", []string{"end"}, nil),
	}
}

func (d *endDescs) describe(ch chan<- *prometheus.Desc) {
	ch <- d.state
	ch <- d.changes
	ch <- d.errors
	ch <- d.waiting
}

func (d *endDescs) collect(ch chan<- prometheus.Metric, e *ends.State) {
	for _, f := range ends.Faults() {
		ch <- prometheus.MustNewConstMetric(d.state, prometheus.GaugeValue, truth(f == e.State), e.End, string(f))
	}
	ch <- prometheus.MustNewConstMetric(d.changes, prometheus.CounterValue, float64(e.Changes), e.End)
	ch <- prometheus.MustNewConstMetric(d.errors, prometheus.CounterValue, float64(e.Errors), e.End)
	ch <- prometheus.MustNewConstMetric(d.waiting, prometheus.GaugeValue, float64(e.Waiting), e.End)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
