package wire

import (
	"encoding/binary"

	"github.com/wattline/wattline/rating"
)

// Append appends r as one message to dst and returns the longer dst. The caller owns both. Fields that are
// empty, 0 or rating.Unknown take no bytes. Nothing is checked: what is out of range is refused by Decode.
func Append(dst []byte, r *rating.Reading) []byte {
	return appendFields(append(dst, tagVersion, Version), r)
}

// AppendBatch appends readings as one message to dst and returns the longer dst. The caller owns both. Charge
// point, connector and transaction are written once if all readings have the same.
func AppendBatch(dst []byte, readings []rating.Reading) []byte {
	dst = binary.AppendUvarint(dst, tagBatchVersion)
	dst = append(dst, Version)
	if len(readings) == 0 {
		return dst
	}
	first := &readings[0]
	sameChargePoint, sameConnector, sameTransaction := true, true, true
	for i := range readings {
		r := &readings[i]
		sameChargePoint = sameChargePoint && string(r.ChargePoint) == string(first.ChargePoint)
		sameConnector = sameConnector && r.Connector == first.Connector
		sameTransaction = sameTransaction && string(r.Transaction) == string(first.Transaction)
	}
	if sameChargePoint {
		dst = appendBytes(dst, tagBatchChargePoint, first.ChargePoint)
	}
	if sameConnector {
		dst = appendUint(dst, tagBatchConnector, uint64(first.Connector))
	}
	if sameTransaction {
		dst = appendBytes(dst, tagBatchTransaction, first.Transaction)
	}
	for i := range readings {
		r := readings[i]
		if sameChargePoint {
			r.ChargePoint = nil
		}
		if sameConnector {
			r.Connector = 0
		}
		if sameTransaction {
			r.Transaction = nil
		}
		dst = binary.AppendUvarint(dst, tagBatchReadings)
		// The length is known only afterwards. Most readings are shorter than 128 bytes: room for one byte.
		at := len(dst)
		dst = appendFields(append(dst, 0), &r)
		n := len(dst) - at - 1
		if n < 0x80 {
			dst[at] = byte(n)
			continue
		}
		var length [binary.MaxVarintLen64]byte
		k := binary.PutUvarint(length[:], uint64(n))
		dst = append(dst, length[1:k]...) // makes the room
		copy(dst[at+k:], dst[at+1:at+1+n])
		copy(dst[at:], length[:k])
	}
	return dst
}

// appendFields appends all fields of r but the version.
func appendFields(dst []byte, r *rating.Reading) []byte {
	dst = appendBytes(dst, tagChargePoint, r.ChargePoint)
	dst = appendUint(dst, tagConnector, uint64(r.Connector))
	dst = appendBytes(dst, tagTransaction, r.Transaction)
	if r.AtMs != rating.Unknown {
		dst = append(dst, tagAtMs)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.AtMs))
	}
	if r.RegisterMwh != rating.Unknown {
		dst = binary.AppendUvarint(append(dst, tagRegister), uint64(r.RegisterMwh))
	}
	if r.PowerMicroW != rating.Unknown {
		dst = binary.AppendVarint(append(dst, tagPower), r.PowerMicroW)
	}
	if r.CurrentNanoA != rating.Unknown {
		dst = binary.AppendVarint(append(dst, tagCurrent), r.CurrentNanoA)
	}
	if r.Seq != rating.Unknown {
		dst = binary.AppendUvarint(append(dst, tagSeq), uint64(r.Seq))
	}
	dst = appendUint(dst, tagState, uint64(r.State))
	dst = appendUint(dst, tagKind, uint64(r.Kind))
	dst = appendUint(dst, tagContext, uint64(r.Context))
	dst = appendUint(dst, tagResolution, uint64(r.ResolutionMwh))
	dst = appendBytes(dst, tagMessageID, r.MessageID)
	return appendBytes(dst, tagToken, r.Token)
}

func appendUint(dst []byte, tag, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(binary.AppendUvarint(dst, tag), v)
}

func appendBytes(dst []byte, tag uint64, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}
