package arrowipc

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/wattline/wattline/rating"
)

// Encode appends readings as one message to dst and returns the longer dst. The caller owns both. Values that are
// rating.Unknown and texts that are empty are null. What is out of range is refused by Decode, not here.
func Encode(dst []byte, readings []rating.Reading) ([]byte, error) {
	rec := record(readings)
	defer rec.Release()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(rec.Schema()))
	if err := w.Write(rec); err != nil {
		return dst, fmt.Errorf("write Arrow record batch of %d readings: %w", len(readings), err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("end Arrow stream of %d readings: %w", len(readings), err)
	}
	return append(dst, out.Bytes()...), nil
}

// record makes a record batch of readings in Schema. The caller releases it.
func record(readings []rating.Reading) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, Schema())
	defer b.Release()
	b.Reserve(len(readings))
	for i := range readings {
		appendRow(b, &readings[i])
	}
	return b.NewRecord()
}

func appendRow(b *array.RecordBuilder, r *rating.Reading) {
	text := func(c column, v []byte) {
		if f := b.Field(int(c)).(*array.StringBuilder); len(v) == 0 {
			f.AppendNull()
		} else {
			f.BinaryBuilder.Append(v)
		}
	}
	number := func(c column, v, unsaid int64) {
		if f := b.Field(int(c)).(*array.Int64Builder); v == unsaid {
			f.AppendNull()
		} else {
			f.Append(v)
		}
	}
	word := func(c column, v uint8) { b.Field(int(c)).(*array.Uint8Builder).Append(v) }
	text(chargePoint, r.ChargePoint)
	if f := b.Field(int(connector)).(*array.Int32Builder); r.Connector == 0 {
		f.AppendNull()
	} else {
		f.Append(r.Connector)
	}
	text(transaction, r.Transaction)
	number(atMs, r.AtMs, rating.Unknown)
	number(registerMwh, r.RegisterMwh, rating.Unknown)
	number(powerUW, r.PowerMicroW, rating.Unknown)
	number(currentNA, r.CurrentNanoA, rating.Unknown)
	number(seq, r.Seq, rating.Unknown)
	word(state, uint8(r.State))
	word(kind, uint8(r.Kind))
	word(context, uint8(r.Context))
	number(resolutionMwh, r.ResolutionMwh, 0)
	text(messageID, r.MessageID)
	text(token, r.Token)
}
