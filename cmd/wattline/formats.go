package main

import (
	"strings"

	"github.com/wattline/wattline/connectors/arrowipc"
	"github.com/wattline/wattline/connectors/jsonreading"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/config"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// format is one way in which readings come.
type format struct {
	name        string // in configuration (internal/config has the same list)
	contentType string
	accepts     func(contentType []byte) bool
	decode      engine.Decode
	isJSON      bool
	// encode appends one reading as a message, for the load generator; nil where it does not write the format: in OCPP
	// 1.6 the central system gives the transactions, and Arrow is for many readings a message.
	encode func(dst []byte, r *rating.Reading) []byte
}

func formats() []format {
	return []format{
		{name: wire.Name, contentType: wire.ContentType, accepts: wire.Accepts, decode: wire.Decode, encode: wire.Append},
		{name: jsonreading.Name, contentType: jsonreading.ContentType, accepts: jsonreading.Accepts, decode: jsonreading.Decode, isJSON: true, encode: jsonreading.Append},
		{name: ocpp.Name, contentType: ocpp.ContentType, accepts: ocpp.Accepts, decode: ocpp.Decode, isJSON: true},
		{name: ocpp.Name2, contentType: ocpp.ContentType2, accepts: ocpp.Accepts2, decode: ocpp.Decode2, isJSON: true, encode: loadgen.AppendEvent},
		{name: arrowipc.Name, contentType: arrowipc.ContentType, accepts: arrowipc.Accepts, decode: arrowipc.Decode},
	}
}

// packing is a format of messages with many readings, for the load generator.
type packing struct {
	name   string
	format string // of topics and headers
	encode func(dst []byte, readings []rating.Reading) ([]byte, error)
}

func packings() []packing {
	return []packing{
		{"packed", wire.Name, func(dst []byte, readings []rating.Reading) ([]byte, error) {
			return wire.AppendBatch(dst, readings), nil
		}},
		{arrowipc.Name, arrowipc.Name, arrowipc.Encode},
	}
}

func packingNamed(name string) (p packing, ok bool) {
	for _, p := range packings() {
		if p.name == name {
			return p, true
		}
	}
	return packing{}, false
}

// formatNamed returns the format of a name; config has checked the name.
func formatNamed(name string) (f format, ok bool) {
	for _, f := range formats() {
		if f.name == name {
			return f, true
		}
	}
	return format{}, false
}

// decoders picks the decoder by the content-type header, else by the topic's format. Plain application/json does not
// say whose JSON it is: it is the topic's, or the JSON of readings where the topic has another format.
func decoders(cfg *config.Config) engine.Decoders {
	byTopic, jsonOf := map[string]engine.Decode{}, map[string]engine.Decode{}
	all := formats()
	for _, r := range cfg.Kafka.Readings {
		f, _ := formatNamed(r.Format)
		byTopic[r.Topic], jsonOf[r.Topic] = f.decode, jsonreading.Decode
		if f.isJSON {
			jsonOf[r.Topic] = f.decode
		}
	}
	return func(topic string, contentType []byte) engine.Decode {
		if len(contentType) == 0 {
			return byTopic[topic]
		}
		for i := range all {
			if all[i].accepts(contentType) {
				return all[i].decode
			}
		}
		media, _, _ := strings.Cut(string(contentType), ";")
		if strings.EqualFold(strings.TrimSpace(media), "application/json") {
			return jsonOf[topic]
		}
		return nil
	}
}
