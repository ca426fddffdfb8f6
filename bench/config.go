package bench

import (
	"errors"
	"fmt"
	"os"

	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/loadgen"
)

// Ends says which Kafka and which ClickHouse a measurement uses. The zero value of everything but Self starts both, and
// removes them.
type Ends struct {
	// Self is the command that starts this program as a child, without the child's role, which is appended: for
	// instance {"/usr/bin/wattline", "bench"}. RunChild is what it has to call. Required.
	Self []string
	// Kafka is the host:port of a broker to use. Default "": one is started, on loopback with a folder of its own.
	Kafka string
	// ClickHouse is the host:port of ClickHouse's HTTP interface. Default "": the engine (libchdb) is started in a
	// process of its own.
	ClickHouse string
	// ClickHouseUser and ClickHousePassword are for a ClickHouse that was there before. Default: user "default", none.
	ClickHouseUser, ClickHousePassword string
	// Dir is where the folder with the data of what is started is made: some 100 bytes a reading. Default: the
	// system's folder for temporary files.
	Dir string
	// StoreNice is the nice value of the store that is started: above 0 the engine goes first where both want a core, as
	// if the store had a machine of its own. Default 0.
	StoreNice int
	// Keep leaves data, topics and databases where they are and says where. Default: all are removed.
	Keep bool
	// Parts says where libchdb and Kafka are kept, and hears of the progress of everything. Default: the user's
	// cache, and nobody.
	Parts parts.Options
}

// PipeConfig is a measurement of Kafka -> rated -> ClickHouse. DefaultPipe gives the one that figures are quoted of.
type PipeConfig struct {
	Ends
	// Readings is about how many readings are loaded before an engine starts; duplicates come on top. The network
	// always runs whole ticks, so a few more are loaded.
	Readings int64
	// ChargePoints is how many sessions are live at any time: one a charge point.
	ChargePoints int
	// Partitions of the readings topic.
	Partitions int32
	// BatchRecords is how many records a record batch has.
	BatchRecords int
	// Format of the readings: protobuf, json or ocpp201, a reading a message; packed (Protobuf) or arrow, up to 100. Default:
	// protobuf.
	Format string
	// Warmups is how many runs are made, and verified, before those that count.
	Warmups int
	// Runs is how many count. The figures quoted are those of the run with the median CPU.
	Runs int
	// SpotChecks is how many sessions of the truth are priced by the oracle, too.
	SpotChecks int
	// GOGC is the engine's garbage collection target, percent. Default 0: what its process has by itself.
	GOGC int
	// ProfileDir gets engine-N.pprof, a CPU profile of the engine's process in each run that counts; the profiler's
	// own cost, about 2 %, is then in the figures. Default "": none.
	ProfileDir string
}

// DefaultPipe is the common workload: 10 M readings, 100,000 live sessions, a reading each 5 s.
func DefaultPipe() PipeConfig {
	return PipeConfig{
		Readings: 10_000_000, ChargePoints: 100_000, Partitions: 16, BatchRecords: 1_000,
		Warmups: 1, Runs: 3, SpotChecks: 200,
	}
}

// Validate joins all faults of the Config, each with the name of its field.
func (c *PipeConfig) Validate() error {
	faults := []error{c.validate()}
	hold := func(field string, value, low, high int64) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("bench.%s: %d is not in %d..%d", field, value, low, high))
		}
	}
	hold("Readings", c.Readings, 1, 10_000_000_000)
	hold("ChargePoints", int64(c.ChargePoints), 1, 10_000_000)
	hold("Partitions", int64(c.Partitions), 1, 1_000)
	hold("BatchRecords", int64(c.BatchRecords), 1, 100_000)
	if _, ok := formatNamed(c.Format); !ok {
		faults = append(faults, fmt.Errorf("bench.Format: %q is none of protobuf, json, ocpp201, packed and arrow", c.Format))
	}
	hold("Warmups", int64(c.Warmups), 0, 100)
	hold("Runs", int64(c.Runs), 1, 100)
	hold("SpotChecks", int64(c.SpotChecks), 0, 1_000_000)
	hold("GOGC", int64(c.GOGC), 0, 10_000)
	return errors.Join(faults...)
}

func (e *Ends) validate() error {
	if len(e.Self) == 0 {
		return errors.New("bench.Self: missing")
	}
	return nil
}

// network is the network that is measured, and the simulated time at which its readings end.
func (c *PipeConfig) network() (*loadgen.Network, int64, error) {
	nc := loadgen.Bench()
	nc.ChargePoints, nc.Partitions = c.ChargePoints, c.Partitions
	n, err := loadgen.New(nc)
	if err != nil {
		return nil, 0, err
	}
	// Each charge point has a reading every ChargingEveryMs.
	ms := (c.Readings*nc.ChargingEveryMs + int64(c.ChargePoints) - 1) / int64(c.ChargePoints)
	ms += (nc.TickMs - ms%nc.TickMs) % nc.TickMs
	return n, nc.EpochMs + ms, nil
}

// makeProfileDir makes the folder for profiles, if there is to be one, before anything starts: the engine's process
// would look for it again and again.
func makeProfileDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("folder for profiles: %w", err)
	}
	return nil
}
