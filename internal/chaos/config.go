package chaos

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Config says what Run does.
type Config struct {
	// Out gets what is done, as it is done, and the verdict. Required.
	Out io.Writer
	// Dir holds everything. It has to exist and to be empty; what is in it at the end is for the caller to keep or to
	// remove. Required.
	Dir string
	// Program is the wattline binary. Required.
	Program string
	// Loader is the command line of a process that calls Load; the path of a JSON file is added to it. Required.
	Loader []string
	// Keep leaves the folders of worlds in which nothing was found. Default false: they are removed.
	Keep bool
	// Duration is how long faults come in each world. Start, drain and proof take a minute or more beside it.
	// Default 2 minutes.
	Duration time.Duration
	// Every is the mean time between two faults. Default 5 s.
	Every time.Duration
	// Brokers are the worlds, one after the other: how many brokers each has. Default 1, then 3.
	Brokers []int
	// Engines is how many engines a world has, 2 to 9. Default 3.
	Engines int
	// Seed chooses the faults and the network. Default 0, a seed like any other.
	Seed uint64
	// ChargePoints is the size of the network. Default 1,000: about 14 readings a simulated second.
	ChargePoints int
	// Speed is how many simulated seconds pass in a second. Default 120.
	Speed int64
	// Drain bounds the time from the last fault until everything is in the ledger. Default 4 minutes.
	Drain time.Duration

	blockAge time.Duration // of the engines; default 1 s, which is the program's own
}

func (c *Config) withDefaults() Config {
	d := *c
	set := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	set(&d.Duration, 2*time.Minute)
	set(&d.Every, 5*time.Second)
	set(&d.Drain, 4*time.Minute)
	set(&d.blockAge, time.Second)
	if len(d.Brokers) == 0 {
		d.Brokers = []int{1, 3}
	}
	if d.Engines == 0 {
		d.Engines = 3
	}
	if d.ChargePoints == 0 {
		d.ChargePoints = 1000
	}
	if d.Speed == 0 {
		d.Speed = 120
	}
	return d
}

func (c *Config) validate() error {
	var faults []error
	need := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New("chaos.Config."+what))
		}
	}
	need(c.Out != nil, "Out: missing")
	need(c.Dir != "", "Dir: missing")
	need(c.Program != "", "Program: missing")
	need(len(c.Loader) > 0, "Loader: missing")
	need(c.Duration >= 10*time.Second && c.Duration <= 24*time.Hour, "Duration: not in 10s..24h")
	need(c.Every >= 100*time.Millisecond, "Every: below 100ms")
	need(c.Engines >= 2 && c.Engines <= 9, "Engines: not in 2..9")
	need(c.Speed > 0, "Speed: below 1")
	for _, n := range c.Brokers {
		need(n >= 1 && n <= 9, fmt.Sprintf("Brokers: %d is not in 1..9", n))
	}
	return errors.Join(faults...)
}
