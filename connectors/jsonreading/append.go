package jsonreading

import (
	"strconv"

	"github.com/wattline/wattline/rating"
)

// Append appends r as one message to dst and returns the longer dst. The caller owns both. Members that are empty,
// 0 or rating.Unknown are left out. Nothing is checked: what is out of range is refused by Decode.
func Append(dst []byte, r *rating.Reading) []byte {
	begin := len(dst)
	dst = appendText(dst, begin, `"charge_point":`, r.ChargePoint)
	dst = appendNumber(dst, begin, `"connector":`, int64(r.Connector), 0)
	dst = appendText(dst, begin, `"transaction":`, r.Transaction)
	dst = appendNumber(dst, begin, `"at_ms":`, r.AtMs, rating.Unknown)
	dst = appendNumber(dst, begin, `"register_mwh":`, r.RegisterMwh, rating.Unknown)
	dst = appendNumber(dst, begin, `"power_uw":`, r.PowerMicroW, rating.Unknown)
	dst = appendNumber(dst, begin, `"current_na":`, r.CurrentNanoA, rating.Unknown)
	dst = appendNumber(dst, begin, `"seq":`, r.Seq, rating.Unknown)
	if words := stateWords(); r.State != rating.StateUnchanged && int(r.State) < len(words) {
		dst = append(append(append(comma(dst, begin), `"state":"`...), words[r.State]...), '"')
	}
	if words := kindWords(); r.Kind != rating.KindMeter && int(r.Kind) < len(words) {
		dst = append(append(append(comma(dst, begin), `"kind":"`...), words[r.Kind]...), '"')
	}
	if words := contextWords(); r.Context != rating.ContextPeriodic && int(r.Context) < len(words) {
		dst = append(append(append(comma(dst, begin), `"context":"`...), words[r.Context]...), '"')
	}
	dst = appendNumber(dst, begin, `"resolution_mwh":`, r.ResolutionMwh, 0)
	dst = appendText(dst, begin, `"message_id":`, r.MessageID)
	dst = appendText(dst, begin, `"token":`, r.Token)
	if len(dst) == begin {
		dst = append(dst, `{"version":1`...) // a reading says something
	}
	return append(dst, '}')
}

// AppendArray appends readings as one message, an array, to dst and returns the longer dst. The caller owns both.
func AppendArray(dst []byte, readings []rating.Reading) []byte {
	dst = append(dst, '[')
	for i := range readings {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = Append(dst, &readings[i])
	}
	return append(dst, ']')
}

// comma separates a member from what is there since begin.
func comma(dst []byte, begin int) []byte {
	if len(dst) == begin {
		return append(dst, '{')
	}
	return append(dst, ',')
}

func appendNumber(dst []byte, begin int, key string, v, unsaid int64) []byte {
	if v == unsaid {
		return dst
	}
	return strconv.AppendInt(append(comma(dst, begin), key...), v, 10)
}

func appendText(dst []byte, begin int, key string, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	dst = append(append(comma(dst, begin), key...), '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
