package engine

import (
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// connector returns the index of a charge point's connector, made if it is new.
func (s *shard) connector(chargePoint []byte, number int32) uint32 {
	name, ok := s.names.Find(chargePoint)
	if !ok {
		name = s.names.Put(string(chargePoint))
	}
	for i := s.names.First[name]; i != 0; i = s.connectors.At(i).Next {
		if s.connectors.At(i).Number == number {
			return i
		}
	}
	i := uint32(s.connectors.Len())
	s.connectors.Add(newConnector(name, number, s.names.First[name]))
	s.names.First[name] = i
	return i
}

func newConnector(name uint32, number int32, next uint32) snapshot.Connector {
	return snapshot.Connector{ChargePoint: name, Number: number, Next: next, StatusMs: rating.Unknown}
}
