package main

import (
	"context"
	"fmt"
	"time"
)

func kafkaCommand() command {
	c := command{name: "kafka", args: "[--config FILE]", summary: "Run the embedded Kafka as a process of its own"}
	c.run = func(ctx context.Context, std stdio, args []string) int {
		fs := newFlags(std, c, "For trying things out: one broker, no replication, no log-in. Keys: data.dir, kafka.embedded_addr,\n"+
			"kafka.embedded_fsync. When it is ready it prints its address.")
		file := configFlag(fs)
		if rest, code, ok := parseFlags(fs, args); !ok {
			return code
		} else if len(rest) > 0 {
			return wrong(std, c, "there is no argument %q", rest[0])
		}
		cfg, ok := loadConfigFor(std, c.name, *file)
		if !ok {
			return exitFault
		}
		broker, err := startEmbeddedKafka(cfg, newLogger(cfg, std.err))
		if err != nil {
			fmt.Fprintf(std.err, "wattline kafka: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "addr %s\n", broker.Addr())
		<-ctx.Done()
		began := time.Now()
		if err := broker.Close(); err != nil {
			fmt.Fprintf(std.err, "wattline kafka: %v\n", err)
			return exitFault
		}
		fmt.Fprintf(std.out, "stopped in %v\n", time.Since(began).Round(time.Millisecond))
		return exitOK
	}
	return c
}
