package reject

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// Version of the value. Version 1 had neither at_ms nor anything sealed.
const Version = 2

// ContentType is the header content-type of every record.
const ContentType = "application/json"

// maxReason is how many bytes of a reason are kept.
const maxReason = 500

// Coordinates name what was rejected.
type Coordinates struct {
	Topic     string
	Partition int32
	Offset    int64
	Index     int64 // which reading of the record, from 0; 0 where the record as a whole can not be read
}

// AppendKey appends the record's key: a double has the same.
func (c *Coordinates) AppendKey(dst []byte) []byte {
	dst = append(dst, c.Topic...)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, int64(c.Partition), 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, c.Offset, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, c.Index, 10)
}

// AppendValue appends the clear part. atMs is the timestamp of the rejected record, ms since 1970 UTC; reason is cut to
// 500 bytes and must have gone through Clean.
func (c *Coordinates) AppendValue(dst []byte, atMs int64, reason string) []byte {
	dst = c.appendHead(dst)
	dst = append(dst, `,"at_ms":`...)
	dst = strconv.AppendInt(dst, atMs, 10)
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, reason[:min(len(reason), maxReason)])
	return append(dst, '}')
}

func (c *Coordinates) appendHead(dst []byte) []byte {
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, Version, 10)
	dst = append(dst, `,"topic":`...)
	dst = strconv.AppendQuoteToASCII(dst, c.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(c.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, c.Offset, 10)
	dst = append(dst, `,"index":`...)
	return strconv.AppendInt(dst, c.Index, 10)
}

// AppendSealed appends value, which AppendValue made, with what is sealed and the id of the key that opens it.
func AppendSealed(dst, value []byte, keyID string, sealed []byte) []byte {
	dst = append(dst, value[:len(value)-1]...)
	dst = append(dst, `,"key_id":`...)
	dst = appendString(dst, keyID)
	dst = append(dst, `,"sealed":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, sealed)
	return append(dst, `"}`...)
}

// Retry is a record that says that a reject's message was sent again.
type Retry struct {
	By        string `json:"by"`        // user@host
	AtMs      int64  `json:"at_ms"`     // ms since 1970 UTC
	Topic     string `json:"topic"`     // where it went
	Partition int32  `json:"partition"` //
	Offset    int64  `json:"offset"`    //
}

// AppendRetry appends the value of a record with the key of the reject that was sent again.
func (c *Coordinates) AppendRetry(dst []byte, r *Retry) []byte {
	dst = c.appendHead(dst)
	dst = append(dst, `,"retried":{"by":`...)
	dst = appendString(dst, r.By)
	dst = append(dst, `,"at_ms":`...)
	dst = strconv.AppendInt(dst, r.AtMs, 10)
	dst = append(dst, `,"topic":`...)
	dst = strconv.AppendQuoteToASCII(dst, r.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	return append(dst, "}}"...)
}

// Record is a value that was read.
type Record struct {
	Coordinates
	AtMs    int64  // of the rejected record, ms since 1970 UTC; 0 in version 1
	Reason  string // "" of a retry
	KeyID   string // "" where nothing is sealed
	Sealed  []byte
	Retried *Retry // of a message that was sent again; nil: this is a reject
}

// Parse reads a value. An error says that it is none of ours, or of a later version.
func Parse(value []byte) (Record, error) {
	var v struct {
		V         int    `json:"v"`
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Index     int64  `json:"index"`
		AtMs      int64  `json:"at_ms"`
		Reason    string `json:"reason"`
		KeyID     string `json:"key_id"`
		Sealed    []byte `json:"sealed"`
		Retried   *Retry `json:"retried"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return Record{}, fmt.Errorf("read reject: %w", err)
	}
	if v.V < 1 || v.V > Version || v.Topic == "" || v.Offset < 0 || v.Partition < 0 || v.Index < 0 {
		return Record{}, fmt.Errorf("read reject: version %d with topic %q, partition %d, offset %d and index %d is none that this program knows", v.V, v.Topic, v.Partition, v.Offset, v.Index)
	}
	return Record{
		Coordinates: Coordinates{v.Topic, v.Partition, v.Offset, v.Index},
		AtMs:        v.AtMs, Reason: v.Reason, KeyID: v.KeyID, Sealed: v.Sealed, Retried: v.Retried,
	}, nil
}

// appendString writes s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
