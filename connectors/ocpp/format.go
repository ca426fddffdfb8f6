package ocpp

import (
	"strings"

	"github.com/wattline/wattline/connectors/jsontext"
)

// Name is the name of the format of OCPP 1.6 in configuration.
const Name = "ocpp16"

// ContentType is the content-type of a record in it.
const ContentType = "application/vnd.ocpp.1.6+json"

// Name2 and ContentType2 are those of frames of OCPP 2.0.1 and 2.1.
const (
	Name2        = "ocpp201"
	ContentType2 = "application/vnd.ocpp.2.0.1+json"
)

// Limits of a message. What is beyond is refused.
const (
	MaxBytes       = 16 << 20          // of a message
	MaxDepth       = jsontext.MaxDepth // arrays and objects inside of each other; a frame needs 7 at most
	MaxReadings    = 65535             // the position of a reading in its message is 16 bits
	MaxChargePoint = 48                // bytes
	MaxTransaction = 36                // bytes; an int64 needs 20
	MaxMessageID   = 36                // bytes; only of a StartTransaction and its answer
	MaxToken       = 255               // bytes
)

// Accepts says whether a content-type header names frames of OCPP 1.6. Parameters do not matter, nor does case.
func Accepts(contentType []byte) bool {
	media, _, _ := strings.Cut(string(contentType), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case ContentType, "application/ocpp1.6+json":
		return true
	}
	return false
}

// Accepts2 says whether a content-type header names frames of OCPP 2.0.1 or 2.1.
func Accepts2(contentType []byte) bool {
	media, _, _ := strings.Cut(string(contentType), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case ContentType2, "application/vnd.ocpp.2.1+json", "application/ocpp2.0.1+json", "application/ocpp2.1+json":
		return true
	}
	return false
}
