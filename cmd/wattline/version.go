package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/wattline/wattline/rating"
)

func versionCommand() command {
	c := command{name: "version", summary: "Say which build this is"}
	c.run = func(_ context.Context, std stdio, args []string) int {
		if rest, code, ok := parseFlags(newFlags(std, c, ""), args); !ok {
			return code
		} else if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		fmt.Fprintf(std.out, "wattline %s, rating version %d\n", version(), rating.RatingVersion)
		return exitOK
	}
	return c
}

// version is the module's version, or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + changed
}
