package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

var (
	errShort = errors.New("a page ends before its values do")
	errIndex = errors.New("a value is not in the dictionary")
)

// hybrid reads Parquet's mix of runs and packed integers of width bits.
type hybrid struct {
	b      []byte
	width  uint // up to 32
	run    uint64
	packed bool
	value  uint32
	bits   uint64 // packed: what was read and not given yet
	have   uint
}

// next gives the next integer; ok is false where the bytes end or make no sense.
func (h *hybrid) next() (v uint32, ok bool) {
	for h.run == 0 {
		if !h.header() {
			return 0, false
		}
	}
	h.run--
	if !h.packed {
		return h.value, true
	}
	for h.have < h.width {
		if len(h.b) == 0 {
			return 0, false
		}
		h.bits |= uint64(h.b[0]) << h.have
		h.b, h.have = h.b[1:], h.have+8
	}
	v = uint32(h.bits & (1<<h.width - 1))
	h.bits >>= h.width
	h.have -= h.width
	return v, true
}

func (h *hybrid) header() bool {
	head, n := binary.Uvarint(h.b)
	if n <= 0 || head > 1<<40 {
		return false
	}
	h.b, h.bits, h.have = h.b[n:], 0, 0
	if h.packed = head&1 == 1; h.packed {
		h.run = head >> 1 * 8
		return true
	}
	h.run, h.value = head>>1, 0
	size := int(h.width+7) / 8
	if len(h.b) < size {
		return false
	}
	for i := range size {
		h.value |= uint32(h.b[i]) << (8 * i)
	}
	h.b = h.b[size:]
	return bits.Len32(h.value) <= int(h.width)
}

// values reads the values of a column of a row group, one after the other. Texts point into pages, which are never used
// again: they live as long as somebody holds one.
type values struct {
	pages
	physical int64
	optional bool

	numbers []int64  // of the dictionary
	texts   [][]byte // the same

	left    int64 // values of the page
	levels  hybrid
	indexed bool
	indices hybrid
	plain   []byte
}

// next gives the next value: a number or a text, or null.
func (v *values) next() (number int64, text []byte, null bool, err error) {
	for v.left == 0 {
		if err := v.page(); err != nil {
			return 0, nil, false, err
		}
	}
	v.left--
	if v.optional {
		level, ok := v.levels.next()
		if !ok {
			return 0, nil, false, errShort
		}
		if level == 0 {
			return 0, nil, true, nil
		}
	}
	if v.indexed {
		i, ok := v.indices.next()
		switch {
		case !ok:
			return 0, nil, false, errShort
		case v.physical == typeByteArray && int(i) < len(v.texts):
			return 0, v.texts[i], false, nil
		case v.physical != typeByteArray && int(i) < len(v.numbers):
			return v.numbers[i], nil, false, nil
		}
		return 0, nil, false, errIndex
	}
	number, text, v.plain, err = onePlain(v.physical, v.plain)
	return number, text, false, err
}

// onePlain reads one value of b and returns what follows it.
func onePlain(physical int64, b []byte) (number int64, text, rest []byte, err error) {
	switch {
	case physical == typeInt64 && len(b) >= 8:
		return int64(binary.LittleEndian.Uint64(b)), nil, b[8:], nil
	case physical == typeInt32 && len(b) >= 4:
		return int64(int32(binary.LittleEndian.Uint32(b))), nil, b[4:], nil
	case physical == typeByteArray && len(b) >= 4:
		if n := uint64(binary.LittleEndian.Uint32(b)); n <= uint64(len(b)-4) {
			return 0, b[4 : 4+n : 4+n], b[4+n:], nil
		}
	}
	return 0, nil, nil, errShort
}

// page takes the next page up.
func (v *values) page() error {
	h, data, err := v.pages.next()
	if err != nil {
		return err
	}
	if h.kind == pageDictionary {
		return v.dictionary(&h, data)
	}
	if h.values < 0 {
		return errors.New("a data page without a number of values")
	}
	v.left = h.values
	if v.optional {
		if h.levels != encodingRLE {
			return fmt.Errorf("definition levels in encoding %d are not read", h.levels)
		}
		if len(data) < 4 {
			return errShort
		}
		n := uint64(binary.LittleEndian.Uint32(data))
		if n > uint64(len(data)-4) {
			return errShort
		}
		v.levels = hybrid{b: data[4 : 4+n], width: 1}
		data = data[4+n:]
	}
	switch h.encoding {
	case encodingPlain:
		v.indexed, v.plain = false, data
	case encodingPlainDictionary, encodingRLEDictionary:
		v.indexed, v.indices = true, hybrid{}
		if len(data) > 0 { // a page of nulls may have nothing
			if data[0] > 32 {
				return fmt.Errorf("dictionary indices of %d bits", data[0])
			}
			v.indices = hybrid{b: data[1:], width: uint(data[0])}
		}
	default:
		return fmt.Errorf("encoding %d is not read: write plain values or dictionaries", h.encoding)
	}
	return nil
}

// dictionary takes the dictionary up. It makes no more of it than the bytes hold.
func (v *values) dictionary(h *pageHeader, data []byte) error {
	least := int64(4)
	if v.physical == typeInt64 {
		least = 8
	}
	switch {
	case v.numbers != nil || v.texts != nil:
		return errors.New("a second dictionary")
	case h.encoding != encodingPlain && h.encoding != encodingPlainDictionary:
		return fmt.Errorf("a dictionary in encoding %d is not read", h.encoding)
	case h.values < 0 || h.values > int64(len(data))/least:
		return fmt.Errorf("a dictionary of %d values in %d bytes", h.values, len(data))
	}
	if v.physical == typeByteArray {
		v.texts = make([][]byte, h.values)
	} else {
		v.numbers = make([]int64, h.values)
	}
	for i := range h.values {
		number, text, rest, err := onePlain(v.physical, data)
		if err != nil {
			return err
		}
		data = rest
		if v.physical == typeByteArray {
			v.texts[i] = text
		} else {
			v.numbers[i] = number
		}
	}
	return nil
}
