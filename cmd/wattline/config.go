package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/wattline/wattline/internal/certs"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/rejects"
)

func configShowCommand() command {
	c := command{name: "config show", args: "[--config FILE]", summary: "Print the values that hold, with unit, default, and where each came from"}
	c.run = func(_ context.Context, std stdio, args []string) int {
		return withConfig(std, c, args, "The output is a configuration file. Secrets are not shown.", nil, func(cfg *config.Config) int {
			_, err := io.WriteString(std.out, cfg.Show())
			if err != nil {
				return exitFault
			}
			return exitOK
		})
	}
	return c
}

// withConfig does it with the configuration and the secrets of these sections.
func withConfig(std stdio, c command, args []string, more string, secrets []string, do func(*config.Config) int) int {
	fs := newFlags(std, c, more)
	file := configFlag(fs)
	rest, code, ok := parseFlags(fs, args)
	if !ok {
		return code
	}
	if len(rest) > 0 {
		return wrong(std, c, "there is no argument %q", rest[0])
	}
	cfg, ok := loadConfigFor(std, c.name, *file, secrets...)
	if !ok {
		return exitFault
	}
	return do(cfg)
}

// checkPackages asks the packages, too, what they think of their parts.
func checkPackages(cfg *config.Config) error {
	brokers := cfg.Kafka.Brokers
	if len(brokers) == 0 {
		brokers = []string{cfg.Kafka.EmbeddedAddr}
	}
	at := storeAt{cfg.ClickHouse.Addr, cfg.ClickHouse.Password}
	var tlsErr error
	if len(at.addrs) > 0 {
		_, tlsErr = storeTLS(cfg)
	} else {
		at.addrs = []string{cfg.ClickHouse.EmbeddedAddr}
	}
	id, idErr := engineID(cfg)
	k, err := kafkaConfig(cfg, id, brokers, slog.New(slog.DiscardHandler))
	if err == nil {
		err = k.Validate()
	}
	return errors.Join(idErr, err, engineConfig(cfg, id).Validate(), storeConfig(cfg, at).Validate(), tlsErr, serverFiles(cfg))
}

// serverFiles reads the certificates of what this program serves, and the key that it seals with.
func serverFiles(cfg *config.Config) error {
	var errs []error
	for _, f := range []struct{ key, cert, private string }{
		{"clickhouse.embedded_cert_file", cfg.ClickHouse.EmbeddedCert, cfg.ClickHouse.EmbeddedKey},
		{"http.tls_cert_file", cfg.HTTP.CertFile, cfg.HTTP.KeyFile},
	} {
		if f.cert == "" {
			continue
		}
		if _, err := certs.Server(f.cert, f.private); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.key, err))
		}
	}
	if cfg.Rejects.PublicKey != "" {
		if _, err := rejects.ReadPublic(cfg.Rejects.PublicKey); err != nil {
			errs = append(errs, fmt.Errorf("rejects.public_key_file: %w", err))
		}
	}
	return errors.Join(errs...)
}
