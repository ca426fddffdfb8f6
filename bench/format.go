package bench

import (
	"github.com/wattline/wattline/connectors/arrowipc"
	"github.com/wattline/wattline/connectors/jsonreading"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// format is how readings become messages in a measurement.
type format struct {
	name   string
	decode engine.Decode
	encode func(dst []byte, r *rating.Reading) []byte                  // a reading a message; nil: Protobuf's
	pack   func(dst []byte, readings []rating.Reading) ([]byte, error) // up to 100 a message; nil: a reading each
	splits bool                                                        // a message becomes several readings: a value, and a state
}

func formats() []format {
	return []format{
		{name: wire.Name, decode: wire.Decode},
		{name: jsonreading.Name, decode: jsonreading.Decode, encode: jsonreading.Append},
		{name: ocpp.Name2, decode: ocpp.Decode2, encode: loadgen.AppendEvent, splits: true},
		{name: "packed", decode: wire.Decode, pack: func(dst []byte, readings []rating.Reading) ([]byte, error) {
			return wire.AppendBatch(dst, readings), nil
		}},
		{name: arrowipc.Name, decode: arrowipc.Decode, pack: arrowipc.Encode},
	}
}

// formatNamed returns the format of a name; "" is Protobuf, a reading a message.
func formatNamed(name string) (f format, ok bool) {
	if name == "" {
		name = wire.Name
	}
	for _, f := range formats() {
		if f.name == name {
			return f, true
		}
	}
	return format{}, false
}

// producer is what the load generator is given to write to b.
func (f *format) producer(b loadgen.Producer) loadgen.Producer {
	if f.pack == nil {
		return b
	}
	return loadgen.NewPacker(b, f.pack)
}

// decoders is the one decoder of a measurement's readings, none of which has a header.
func (f *format) decoders() engine.Decoders {
	return func(_ string, contentType []byte) engine.Decode {
		if contentType == nil {
			return f.decode
		}
		return nil
	}
}
