package main

import (
	"context"
	"fmt"
	"os"

	"github.com/wattline/wattline/rating/ocpi"
)

func tariffCheckCommand() command {
	c := command{
		name: "tariff check", args: "FILE...",
		summary: "Say every fault of OCPI tariffs, with its path",
	}
	c.run = func(_ context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "A file is JSON or YAML and holds an OCPI tariff (2.1.1, 2.2.1 or 2.3.0), a list of them, an OCPI response\n"+
			"with `data`, or a price file with `tariffs`. Faults and warnings go to standard output, one a line.\n"+
			"Exit: 0 no fault (there may be warnings), 1 a fault, 2 a wrong command line.")
		files, code, ok := parseFlags(fs, args)
		if !ok {
			return code
		}
		if len(files) == 0 {
			return wrong(std, c, "it needs a file")
		}
		return checkTariffs(std, files)
	}
	return c
}

func checkTariffs(std stdio, files []string) int {
	tariffs, faulty, warnings, unreadable := 0, 0, 0, 0
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintf(std.err, "wattline tariff check: %v\n", err)
			unreadable++
			continue
		}
		entries, report := ocpi.ParseTariffs(src)
		if len(report.Faults) > 0 {
			unreadable++
		}
		say(std, name, report)
		warnings += len(report.Warnings)
		for _, e := range entries {
			tariffs++
			if len(e.Report.Faults) > 0 {
				faulty++
			}
			warnings += len(e.Report.Warnings)
			say(std, name, e.Report)
		}
	}
	fmt.Fprintf(std.out, "%d tariffs, %d faulty, %d warnings\n", tariffs, faulty, warnings)
	if faulty+unreadable > 0 {
		return exitFault
	}
	return exitOK
}

func say(std stdio, file string, report ocpi.Report) {
	for _, f := range report.Faults {
		fmt.Fprintf(std.out, "%s: %s\n", file, f)
	}
	for _, f := range report.Warnings {
		fmt.Fprintf(std.out, "%s: warning: %s\n", file, f)
	}
}
