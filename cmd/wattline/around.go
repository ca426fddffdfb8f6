package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wattline/wattline/api"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/internal/machine"
	"github.com/wattline/wattline/rating"
)

// around is what /metrics tells beside the engine's own figures.
func (n *node) around(clock *machine.Clock) api.Around {
	a := api.Around{StoreSkew: clock.Skew, MemoryLimitBytes: machine.MemoryLimit("/"), Rules: rules(n.cfg, n.counts)}
	if n.group != nil {
		a.Members = func() int {
			_, members := n.group.Members()
			return len(members)
		}
	}
	return a
}

// rules are the settings that decide rows.
func rules(cfg *config.Config, counts map[string]int32) api.Rules {
	var topics []string
	for _, r := range cfg.Kafka.Readings {
		topics = append(topics, fmt.Sprintf("%s:%s:%d:%s", r.Topic, r.Format, counts[r.Topic], r.Partitioner))
	}
	return api.Rules{
		RatingVersion: strconv.Itoa(rating.RatingVersion), Slice: cfg.Engine.Slice.String(), SessionTimeout: cfg.Engine.SessionTimeout.String(),
		Readings: strings.Join(topics, " "),
	}
}
