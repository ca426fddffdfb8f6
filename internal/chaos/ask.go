package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

// command runs a command of the program to its end; out is both its outputs.
func (w *world) command(ctx context.Context, args ...string) (code int, out string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.cfg.Program, args...)
	cmd.Dir = w.dir
	cmd.Env = cleanEnv(cmd)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// ask asks the store, straight and not through a proxy.
func (w *world) ask(ctx context.Context, query string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	to := "http://" + loopback(w.storePort) + "/?" + url.Values{"database": {database}}.Encode()
	if query == "SELECT 1" {
		to = "http://" + loopback(w.storePort) + "/" // asked before there is a database
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(query))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("default", w.password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %s: %s", res.Status, b)
	}
	return strings.TrimRight(string(b), "\n"), err
}
