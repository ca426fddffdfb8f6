// Command run is `make chaos`: it builds the program, breaks everything around it for a while, and ends with status 0
// if the ledger is what it would be without that (docs/CHAOS.md).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wattline/wattline/internal/chaos"
	"github.com/wattline/wattline/internal/parts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is the load's process when it is told so, else the whole.
func run(ctx context.Context, args []string) int {
	if len(args) == 2 && args[0] == "load" {
		if err := chaos.Load(ctx, args[1], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			return 1
		}
		return 0
	}
	cfg, err := options(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ok, err := whole(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || !ok {
		return 1
	}
	return 0
}

// options reads the command line. The minutes are those of all worlds together.
func options(args []string) (cfg chaos.Config, err error) {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	minutes := fs.Float64("minutes", 2, "`minutes` of faults, all worlds together")
	seed := fs.String("seed", "", "`number` that chooses faults and network (default: a random one, which is printed)")
	brokers := fs.String("brokers", "1,3", "`numbers` of brokers: a world each")
	fs.DurationVar(&cfg.Every, "every", 5*time.Second, "mean `time` between two faults")
	fs.IntVar(&cfg.Engines, "engines", 3, "`number` of engines")
	fs.IntVar(&cfg.ChargePoints, "chargers", 1000, "`number` of charge points")
	fs.Int64Var(&cfg.Speed, "speed", 120, "simulated `seconds` a second")
	fs.StringVar(&cfg.Dir, "dir", "", "`folder` for everything (default: a temporary one)")
	fs.BoolVar(&cfg.Keep, "keep", false, "keep the folder")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("chaos: there is no argument %q", fs.Arg(0))
	}
	for text := range strings.SplitSeq(*brokers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return cfg, fmt.Errorf("--brokers: %w", err)
		}
		cfg.Brokers = append(cfg.Brokers, n)
	}
	cfg.Seed = rand.Uint64N(1_000_000)
	if *seed != "" {
		if cfg.Seed, err = strconv.ParseUint(*seed, 10, 64); err != nil {
			return cfg, fmt.Errorf("--seed: %w", err)
		}
	}
	cfg.Duration = time.Duration(*minutes * float64(time.Minute) / float64(len(cfg.Brokers))).Round(time.Second)
	return cfg, nil
}

// whole gets the parts, builds the program, and runs.
func whole(ctx context.Context, cfg chaos.Config) (ok bool, err error) {
	began := time.Now()
	if cfg.Dir == "" {
		if cfg.Dir, err = os.MkdirTemp("", "wattline-chaos-"); err != nil {
			return false, err
		}
	} else if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return false, err
	} else if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return false, err
	}
	dir, ran := cfg.Dir, false
	defer func() {
		// What was found is looked at; a run that was interrupted, or never began, has found nothing.
		if !cfg.Keep && (ok || !ran || ctx.Err() != nil) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	opt := parts.Options{Progress: parts.Printer(os.Stdout)}
	if err := parts.Ensure(ctx, opt, parts.CC, parts.Java); err != nil {
		return false, err
	}
	if _, err := parts.KafkaLibs(ctx, opt); err != nil {
		return false, err
	}
	if _, err := parts.Libchdb(ctx, opt); err != nil {
		return false, err
	}
	cfg.Program = filepath.Join(dir, "wattline")
	fmt.Fprintln(os.Stdout, "building the program")
	build := exec.CommandContext(ctx, "go", "build", "-o", cfg.Program, "github.com/wattline/wattline/cmd/wattline")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("go build: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	cfg.Loader, cfg.Out = []string{self, "load"}, os.Stdout
	ran = true
	ok, err = chaos.Run(ctx, cfg)
	fmt.Fprintf(os.Stdout, "took %v; again with SEED=%d\n", time.Since(began).Round(time.Second), cfg.Seed)
	return ok, err
}
