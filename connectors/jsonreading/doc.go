// Package jsonreading is Wattline's own format for meter readings in JSON: one reading as an object, or an array of
// them, for each Kafka message. Its members are the fields of the Protobuf message (connectors/wire), by the same
// names and with the same ranges; docs/formats/reading-json.md describes it.
//
// It owns the bytes of the format: Append and AppendArray write them, Decode reads them, by hand, because every
// reading passes here: encoding/json costs ten times as much.
//
// It does not own what a reading means; that is the engine's business, as for connectors/wire.
//
// Invariants:
//
//   - J1: every field of a decoded Reading is set, whatever dst held before.
//   - J2: Decode(Append(r)) is r, but for Flags, if r is within the ranges of the format and its texts are UTF-8.
//   - J3: no float. A number is read digit by digit. One that is not whole, or a register_wh or register_kwh that
//     is not a whole number of mWh, is a fault: nothing is rounded.
//   - J4: a member that counts and is said twice is a fault; the order of members decides nothing. Null is as if it
//     were not there. Members that are not known are skipped, as Protobuf skips them, so that a producer may send more
//     than is read; one that is a known name but for case and underscores is a fault, because a misspelt
//     register would bill nothing without a trace, which generated Protobuf code can not do.
//     An object without any known member is a fault: frames of chargers in the wrong topic are not empty readings.
//   - J5: what is not JSON is refused, also in parts that do not count (connectors/jsontext, T1).
//   - J6: a fault names the path of the member, and never shows a driver's token.
package jsonreading
