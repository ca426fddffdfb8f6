package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/wattline/wattline/api"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/config"
)

// securedAPI adds certificate and tokens to c.
func securedAPI(cfg *config.Config, log *slog.Logger, c *api.Config) (err error) {
	h := &cfg.HTTP
	if h.CertFile != "" {
		if c.TLS, err = certs.Server(h.CertFile, h.KeyFile); err != nil {
			return fmt.Errorf("http.tls_cert_file: %w", err)
		}
	}
	if h.Tokens != "" {
		if c.Tokens, err = api.OpenTokens(h.Tokens, log); err != nil {
			return fmt.Errorf("http.tokens_file: %w (`wattline api token` makes it)", err)
		}
	}
	return nil
}

// members are the engines of the group, as the API sends questions on to them.
func (n *node) members() api.Group {
	generation, peers := n.group.Members()
	g := api.Group{Generation: generation, Self: n.id, Members: make([]api.Member, len(peers))}
	for i, p := range peers {
		g.Members[i] = api.Member{Name: p.InstanceID, Addr: p.Address, Partitions: p.Partitions}
	}
	return g
}

// partitionsOf says where a charge point's readings are, if the partitioner of every topic is configured; else nil.
func (n *node) partitionsOf() func(string) []engine.Partition {
	known := partitioners(n.cfg, n.counts)
	if len(known) < len(n.cfg.Kafka.Readings) {
		return nil
	}
	return func(chargePoint string) []engine.Partition {
		var list []engine.Partition
		for topic, p := range known {
			list = append(list, engine.Partition{Topic: topic, Number: p.Of([]byte(chargePoint))})
		}
		return list
	}
}

func (n *node) apiScheme() string { return scheme(n.cfg.HTTP.CertFile != "") }

func apiTokenCommand() command {
	c := command{name: "api token", args: "[--config FILE] [--role read|operator] [--file FILE] NAME", summary: "Make a token for the API and print it, once"}
	c.run = func(_ context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "The token's hash is appended to http.tokens_file, which engines read again by themselves; the token is kept nowhere.\n"+
			"NAME says whose it is. To take a token back remove its line. Role read: sessions and metrics; operator: also profiles.")
		file := configFlag(fs)
		role := fs.String("role", string(api.RoleRead), "what it may: `read` or operator")
		tokens := fs.String("file", "", "the `file`; default: http.tokens_file")
		rest, code, ok := parseFlags(fs, args)
		switch {
		case !ok:
			return code
		case len(rest) != 1:
			return wrong(std, c, "give one NAME")
		}
		if *tokens == "" {
			cfg, ok := loadConfigFor(std, c.name, *file)
			if !ok {
				return exitFault
			}
			if *tokens = cfg.HTTP.Tokens; *tokens == "" {
				return wrong(std, c, "http.tokens_file is not configured: give --file")
			}
		}
		token, err := api.AddToken(*tokens, rest[0], api.Role(*role), time.Now())
		if err != nil {
			fmt.Fprintf(std.err, "wattline api token: %v\n", err)
			return exitFault
		}
		fmt.Fprintln(std.out, token)
		return exitOK
	}
	return c
}
