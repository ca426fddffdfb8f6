// Command fetch gets parts and tools before a build or a test needs them, with progress; the Makefile calls
// it. Users of Wattline do not need it: the program itself gets what is missing, through the same package.
//
//	go run ./internal/parts/fetch [-verify] libchdb kafka npm java mvn cc
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/wattline/wattline/internal/parts"
)

func main() {
	verify := flag.Bool("verify", false, "read every byte of what is already there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opt := parts.Options{Progress: parts.Printer(os.Stderr), Verify: *verify}
	if err := fetch(ctx, opt, os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// fetch writes the place of each part to out.
func fetch(ctx context.Context, opt parts.Options, out io.Writer, names []string) error {
	for _, name := range names {
		var path string
		var err error
		switch name {
		case "libchdb":
			path, err = parts.Libchdb(ctx, opt)
		case "kafka":
			if err = parts.Ensure(ctx, opt, parts.Java); err == nil {
				path, err = parts.KafkaLibs(ctx, opt)
			}
		case string(parts.NPM), string(parts.Java), string(parts.Maven), string(parts.CC):
			err = parts.Ensure(ctx, opt, parts.Tool(name))
		default:
			err = fmt.Errorf("no part or tool is called %q", name)
		}
		if err != nil {
			return err
		}
		if path != "" {
			fmt.Fprintf(out, "%s: %s\n", name, path)
		}
	}
	return nil
}
