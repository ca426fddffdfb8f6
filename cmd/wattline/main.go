package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// The exit codes of the program (C1).
const (
	exitOK    = 0
	exitFault = 1 // what was asked for failed, or what was checked is faulty
	exitUsage = 2 // the command line is wrong
)

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand.
type command struct {
	name    string // one or two words, as typed
	args    string // what follows the name, for the help
	summary string // one line
	// run does it and gives the exit code; args are those after the name. ctx ends with the first Ctrl-C.
	run func(ctx context.Context, std stdio, args []string) int
}

// commands is the list of subcommands in the order of the help. A new one is a file and a line here.
func commands() []command {
	return []command{
		demoCommand(),
		runCommand(),
		storeCommand(),
		kafkaCommand(),
		referenceLoadCommand(),
		referenceLogCommand(),
		tokensNewKeyCommand(),
		tokensRotateCommand(),
		tokensListCommand(),
		tokensPseudonymCommand(),
		loadCommand(),
		leaveCommand(),
		adoptCommand(),
		billCommand(),
		verifyCommand(),
		rejectsListCommand(),
		rejectsShowCommand(),
		rejectsRetryCommand(),
		rejectsNewKeyCommand(),
		migrateCommand(),
		sampleCommand(),
		sqlCommand(),
		configCheckCommand(),
		configShowCommand(),
		apiTokenCommand(),
		priceCommand(),
		fileRateCommand(),
		tariffCheckCommand(),
		benchCommand(),
		versionCommand(),
	}
}

// gcPercent is the garbage collector's target unless GOGC says another: the heap may grow to four times what lives.
// Sessions live in slabs without pointers, so what lives is small; at Go's 100 collecting takes a tenth of the CPU.
const gcPercent = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := dispatch(ctx, stdio{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// dispatch runs the subcommand that args begin with.
func dispatch(ctx context.Context, std stdio, args []string) int {
	if len(args) == 0 {
		help(std.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) > 1 {
			if c, _, ok := find(args[1:]); ok {
				return c.run(ctx, stdio{std.in, std.out, std.out}, []string{"-h"})
			}
			return unknown(std, args[1:])
		}
		help(std.out)
		return exitOK
	case "-v", "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	c, rest, ok := find(args)
	if !ok {
		return unknown(std, args)
	}
	return c.run(ctx, std, rest)
}

// find gives the command that args begin with, and what follows its name.
func find(args []string) (c command, rest []string, ok bool) {
	for _, c := range commands() {
		if args[0] == c.name {
			return c, args[1:], true
		}
		if len(args) > 1 && args[0]+" "+args[1] == c.name {
			return c, args[2:], true
		}
	}
	return command{}, nil, false
}

// unknown says that args begin with no command, or with one that needs a second word.
func unknown(std stdio, args []string) int {
	var second []string
	for _, c := range commands() {
		if word, ok := strings.CutPrefix(c.name, args[0]+" "); ok {
			second = append(second, word)
		}
	}
	switch {
	case len(second) == 0:
		fmt.Fprintf(std.err, "wattline: there is no command %q\n", args[0])
	case len(args) == 1:
		fmt.Fprintf(std.err, "wattline: %s needs: %s\n", args[0], strings.Join(second, " or "))
	default:
		fmt.Fprintf(std.err, "wattline: there is no command %q; %s needs: %s\n", args[0]+" "+args[1], args[0], strings.Join(second, " or "))
	}
	fmt.Fprintln(std.err, "see `wattline help`")
	return exitUsage
}

// wrong says what is wrong with the command line of c and gives the exit code.
func wrong(std stdio, c command, format string, args ...any) int {
	sayWrong(std.err, c.name, fmt.Sprintf(format, args...))
	return exitUsage
}

func sayWrong(w io.Writer, name, problem string) {
	fmt.Fprintf(w, "wattline %s: %s\nsee `wattline help %s`\n", name, problem, name)
}

// usage is the command line of c.
func (c *command) usage() string { return strings.TrimSpace("wattline " + c.name + " " + c.args) }

func help(w io.Writer) {
	fmt.Fprint(w, "Wattline rates and bills EV charging sessions.\n\nUsage:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %s\n        %s\n", c.usage(), c.summary)
	}
	fmt.Fprint(w, "\n`wattline help COMMAND` says more about one of them.\n")
}

// newFlags makes the flag set of a command; more is its help beyond the list of flags.
func newFlags(std stdio, c command, more string) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(std.err)
	fs.Usage = func() {
		fmt.Fprintf(std.err, "Usage: %s\n\n%s.\n", c.usage(), c.summary)
		if more != "" {
			fmt.Fprintf(std.err, "\n%s\n", more)
		}
		fmt.Fprintln(std.err)
		fs.PrintDefaults()
	}
	return fs
}

// parseFlags parses flags that may stand before, between and after the other arguments, which it returns. When ok
// is false the command ends with code: help was asked for, or a flag is wrong and that has been said.
func parseFlags(fs *flag.FlagSet, args []string) (rest []string, code int, ok bool) {
	for {
		if err := parseQuietly(fs, args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fs.Usage()
				return nil, exitOK, false
			}
			sayWrong(fs.Output(), fs.Name(), err.Error())
			return nil, exitUsage, false
		}
		if fs.NArg() == 0 {
			return rest, exitOK, true
		}
		if n := len(args) - fs.NArg(); n > 0 && args[n-1] == "--" {
			return append(rest, fs.Args()...), exitOK, true
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// parseQuietly parses without package flag's words on an error, which end in the whole help.
func parseQuietly(fs *flag.FlagSet, args []string) error {
	usage, out := fs.Usage, fs.Output()
	defer func() {
		fs.Usage = usage
		fs.SetOutput(out)
	}()
	fs.Usage = func() {}
	fs.SetOutput(io.Discard)
	return fs.Parse(args)
}
