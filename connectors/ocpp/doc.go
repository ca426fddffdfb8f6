// Package ocpp reads frames of OCPP 1.6 (Decode) and of OCPP 2.0.1 and 2.1 (Decode2), all JSON, into readings. The
// formats are docs/formats/ocpp16-envelope.md and ocpp201-envelope.md: an
// envelope {"received", "charger", "direction", "frame"}, or the frame alone with the charger as the record's key.
//
// It owns what the standard says about single messages: defaults, units, phases, contexts, locations, and what
// real chargers make of it. It keeps nothing between two messages: which transaction a Start belongs to, whether
// a register fell or a session is over is the engine's business. Timestamps are read, not judged.
//
// What becomes of a frame of OCPP 1.6 (two.go says it of 2.x):
//
//   - StartTransaction: a start with register, token and message id. Its answer, the one result that has a
//     transactionId: an answer with the same message id. A frame of the direction "in" is the charger's, "out" the
//     central system's; without a direction a call is the charger's and a result the central system's.
//   - MeterValues, transactionData: a reading for each timestamp and context. Elements in a row with the same
//     timestamp are one reading, unless they say one value twice. The begin value comes first, the end value last.
//   - StopTransaction: the readings of transactionData, then the stop. meterStop below 0 or missing is Unknown.
//   - StatusNotification: a status, see below. Everything else, errors included: no readings.
//
// Values: the register is Energy.Active.Import.Register and nothing else; power is Power.Active.Import, current is
// Current.Import. Without a measurand it is the register, unless the unit is one of power or current, or no unit
// that is known here. A value without phase goes before the sum of the phases; the outlet before other locations.
// A reading without register says power and current only, and one with neither is not made, so that a list of
// voltages resets nothing. A begin or end without register is not made either. Signed values are
// left out; a message that has one says so in the flags of its readings.
//
// Transaction ids are kept as they were sent, digit by digit. 0 and -1 are ids of some central systems, and
// "not known" of some chargers (offline, outside a transaction); one message does not tell, so they stay ids.
// MeterValues without an id leave Transaction empty.
//
// States: Charging, SuspendedEV and SuspendedEVSE are what they say. Finishing is IDLE: the session is over, the
// vehicle still there. Available is IDLE too: no energy flows. Faulted is SUSPENDED_EVSE: the charge point's doing,
// which is no parking. Preparing says nothing about a session: a Start without a status is CHARGING, and many
// chargers send Preparing in the second of the Start. Reserved and Unavailable say nothing about a session that
// runs. What says nothing gives no reading.
//
// Invariants:
//
//   - O1: no float. A decimal is read digit by digit and rounded once, half up, to the smallest unit.
//   - O2: a message whose energy can not be read is refused whole, with the path; power and current that can not
//     be read are left out.
//   - O3: every field of a reading is set, whatever dst held before.
//   - O4: the order of members in an object decides nothing. A member that counts and is said twice is refused.
//   - O5: what is not JSON is refused, also in parts that do not count; encoding/json and package time agree
//     (FuzzDecode holds a second decoder, written over them, against this one).
package ocpp
