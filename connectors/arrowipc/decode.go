package arrowipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/wattline/wattline/rating"
)

// Decode appends the readings of one Kafka message to dst and returns the longer dst. The byte slices of the
// readings are new: they hold on to memory of the size of value. key is not read: a reading without charge point leaves
// ChargePoint empty, which means the key.
//
// On an error dst is returned with its old length; what lies behind it may be overwritten.
func Decode(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	fields, err := check(value)
	if err != nil {
		return dst, err
	}
	out, err := read(value, fields, dst)
	if err != nil {
		return dst, fmt.Errorf("arrow: the library refuses what was checked: %w", err)
	}
	return out, nil
}

// read lets the library read a message that was checked. A panic of it is an error: a belt, for what check holds.
func read(value []byte, fields []field, dst []rating.Reading) (out []rating.Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = dst, fmt.Errorf("panic: %v", p)
		}
	}()
	reader, err := ipc.NewReader(bytes.NewReader(value))
	if err != nil {
		return dst, err
	}
	defer reader.Release()
	out = dst
	for {
		rec, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return dst, err
		}
		if out, err = appendRecord(out, rec, fields); err != nil {
			return dst, err
		}
	}
}

// appendRecord appends the readings of a record batch that was checked, whose columns are fields.
func appendRecord(dst []rating.Reading, rec arrow.Record, fields []field) ([]rating.Reading, error) {
	n := len(dst)
	for range rec.NumRows() {
		dst = append(dst, rating.Reading{
			AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, Seq: rating.Unknown,
		})
	}
	for i := range fields {
		if err := take(dst[n:], fields[i].column, rec.Column(i)); err != nil {
			return dst[:n], err
		}
	}
	return dst, nil
}

// take sets a column of all readings.
func take(dst []rating.Reading, c column, values arrow.Array) error {
	switch values := values.(type) {
	case *array.Int64:
		takeInt64(dst, c, values, values.Int64Values())
	case *array.Timestamp:
		for row, v := range values.TimestampValues() {
			if values.IsValid(row) {
				dst[row].AtMs = int64(v)
			}
		}
	case *array.Int32:
		for row, v := range values.Int32Values() {
			if values.IsValid(row) {
				dst[row].Connector = v
			}
		}
	case *array.Uint8:
		takeUint8(dst, c, values)
	case *array.String:
		takeTexts(dst, c, values)
	case *array.Dictionary:
		words, ok := values.Dictionary().(*array.String)
		if !ok {
			return fmt.Errorf("column %s: a dictionary of %s", infoOf(c).name, values.Dictionary().DataType())
		}
		takeWords(dst, c, values, words)
	default:
		return fmt.Errorf("column %s: type %s", infoOf(c).name, values.DataType())
	}
	return nil
}

func takeInt64(dst []rating.Reading, c column, valid arrow.Array, values []int64) {
	for row, v := range values {
		if !valid.IsValid(row) {
			continue
		}
		r := &dst[row]
		switch c {
		case atMs:
			r.AtMs = v
		case registerMwh:
			r.RegisterMwh = v
		case powerUW:
			r.PowerMicroW = v
		case currentNA:
			r.CurrentNanoA = v
		case seq:
			r.Seq = v
		case resolutionMwh:
			r.ResolutionMwh = v
		}
	}
}

func takeUint8(dst []rating.Reading, c column, values *array.Uint8) {
	for row, v := range values.Uint8Values() {
		if !values.IsValid(row) {
			continue
		}
		r := &dst[row]
		switch c {
		case state:
			r.State = rating.ChargeState(v)
		case kind:
			r.Kind = rating.Kind(v)
		case context:
			r.Context = rating.Context(v)
		}
	}
}

func takeTexts(dst []rating.Reading, c column, values *array.String) {
	if values.Len() == 0 {
		return
	}
	offsets, data := values.ValueOffsets(), values.ValueBytes()
	for row := range dst {
		if values.IsValid(row) {
			from, to := offsets[row]-offsets[0], offsets[row+1]-offsets[0]
			setText(&dst[row], c, data[from:to:to])
		}
	}
}

func takeWords(dst []rating.Reading, c column, values *array.Dictionary, words *array.String) {
	if words.Len() == 0 {
		return
	}
	offsets, data := words.ValueOffsets(), words.ValueBytes()
	for row := range dst {
		if values.IsValid(row) {
			i := values.GetValueIndex(row)
			from, to := offsets[i]-offsets[0], offsets[i+1]-offsets[0]
			setText(&dst[row], c, data[from:to:to])
		}
	}
}

func setText(r *rating.Reading, c column, text []byte) {
	switch c {
	case chargePoint:
		r.ChargePoint = text
	case transaction:
		r.Transaction = text
	case messageID:
		r.MessageID = text
	case token:
		r.Token = text
	}
}
