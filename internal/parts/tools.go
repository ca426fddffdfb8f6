package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// Tool is a program of the machine that a part or a test stage needs.
type Tool string

// The tools. Running Wattline needs npm; testing also Java and Maven (Kafka) and a C compiler (the race detector).
const (
	NPM   Tool = "npm"
	Java  Tool = "java" // 17 or newer, as Apache Kafka 4 wants
	Maven Tool = "mvn"
	CC    Tool = "cc"
)

// minJava is the oldest Java that a Kafka 4 broker starts on.
const minJava = 17

// Ensure makes sure that the tools are installed. What is missing is installed with apt-get when we are root
// and there is one; otherwise the error (ErrMissing) is one line with the command to type.
func Ensure(ctx context.Context, opt Options, tools ...Tool) error {
	missing := missingTools(ctx, tools)
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 || !onPath("apt-get") {
		return fmt.Errorf("%w: %s; type: %s", ErrMissing, joinTools(missing, ", "), installHint(missing))
	}
	opt.report(Event{Part: joinTools(missing, ", "), Doing: "installing with apt-get"})
	if err := run(ctx, "/", nil, "apt-get", "update", "-q"); err != nil {
		return fmt.Errorf("install %s: %w", joinTools(missing, ", "), err)
	}
	for _, t := range missing {
		if err := aptInstall(ctx, t); err != nil {
			return err
		}
	}
	if still := missingTools(ctx, missing); len(still) > 0 {
		return fmt.Errorf("%w: %s, though apt-get installed its package", ErrMissing, joinTools(still, ", "))
	}
	return nil
}

func aptInstall(ctx context.Context, t Tool) error {
	var err error
	for _, pkgs := range aptPackages(t) {
		args := []string{
			"install", "-y", "-q", "--no-install-recommends",
			"-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0",
		}
		if err = run(ctx, "/", nil, "apt-get", append(args, strings.Fields(pkgs)...)...); err == nil {
			return nil
		}
	}
	return fmt.Errorf("install %s: %w", t, err)
}

// aptPackages are the Debian packages that bring the tool, then the second choice: releases after Debian 12
// have no OpenJDK 17. A blank separates packages that are needed together.
func aptPackages(t Tool) []string {
	switch t {
	case Java:
		return []string{"openjdk-17-jdk-headless", "default-jdk-headless"}
	case Maven:
		return []string{"maven"}
	case CC:
		return []string{"gcc libc6-dev"} // gcc only recommends the headers
	default:
		return []string{string(t)}
	}
}

func installHint(missing []Tool) string {
	if runtime.GOOS == "darwin" {
		names := map[Tool]string{NPM: "node", Java: "openjdk@17", Maven: "maven", CC: "gcc"}
		var pkgs []string
		for _, t := range missing {
			pkgs = append(pkgs, names[t])
		}
		return "brew install " + strings.Join(pkgs, " ")
	}
	var pkgs []string
	for _, t := range missing {
		pkgs = append(pkgs, aptPackages(t)[0])
	}
	return "sudo apt-get install -y " + strings.Join(pkgs, " ")
}

func missingTools(ctx context.Context, tools []Tool) []Tool {
	var missing []Tool
	for _, t := range tools {
		if !onPath(string(t)) || (t == Java && !javaWorks(ctx)) || (t == CC && !ccWorks(ctx)) {
			missing = append(missing, t)
		}
	}
	return missing
}

func onPath(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// javaWorks asks the program itself: an old Java, or the placeholder that macOS has in its place, is none.
func javaWorks(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	return err == nil && javaMajor(string(out)) >= minJava
}

// ccWorks also looks for the C library's headers, which Debian packs apart from the compiler.
func ccWorks(ctx context.Context) bool {
	cmd := exec.CommandContext(ctx, "cc", "-E", "-")
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\n")
	return cmd.Run() == nil
}

// javaMajor reads the major version from what `java -version` says; 0 if it says none.
func javaMajor(out string) int {
	m := regexp.MustCompile(`version "(\d+)`).FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n // Java 8 calls itself 1.8: 1 is old enough
}

func joinTools(tools []Tool, sep string) string {
	var names []string
	for _, t := range tools {
		names = append(names, string(t))
	}
	return strings.Join(names, sep)
}
