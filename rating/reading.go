package rating

// Unknown marks an integer quantity that a message did not carry. It is the smallest int64, so that it can
// never be mistaken for a measured value.
const Unknown = -1 << 63

// ChargeState is what the vehicle and the charge point are doing, as EXACTNESS (docs/ARCHITECTURE.md) groups
// it for pricing: CHARGING and SUSPENDED_EVSE are charging time, SUSPENDED_EV and IDLE are parking time.
type ChargeState uint8

// The states of a session. StateUnchanged is what a message says that carries no state: the last one holds.
const (
	StateUnchanged ChargeState = iota
	StateCharging
	StateSuspendedEV
	StateSuspendedEVSE
	StateIdle
	StateReserved
	StateReservationExpired
)

// Kind says what a message means for a session.
type Kind uint8

// The kinds of a Reading. A decoder is stateless: it says what the message is, the shard knows what it means.
const (
	KindMeter  Kind = iota // a register value, power, current or state of a running session
	KindStart              // a session begins (OCPP StartTransaction)
	KindAnswer             // the central system's answer to a Start: gives its transaction id (matched by MessageID)
	KindStop               // a session ends (OCPP StopTransaction)
	KindStatus             // the connector's state outside a meter reading (OCPP StatusNotification)
)

// Context says why the register was read (OCPP 1.6 section 7.31 ReadingContext).
type Context uint8

// The contexts that the engine tells apart. Periodic is the default of the standard.
const (
	ContextPeriodic Context = iota
	ContextBegin            // Transaction.Begin: a start value, never the newest one
	ContextClock            // Sample.Clock
	ContextEnd              // Transaction.End: the end if no Stop comes
	ContextOther            // Trigger, Interruption.*, Other, anything unknown
)

// ReadingFlags are a decoder's soft findings about one message. They end up in the flags of the session.
type ReadingFlags uint16

// The findings of decoders.
const (
	ReadingPhaseSum     ReadingFlags = 1 << iota // the register is the sum of the phases: no total was sent
	ReadingUnitGuessed                           // the register came without a unit: taken as the standard's Wh
	ReadingNoZone                                // the timestamp had no zone: taken as UTC
	ReadingStopUnknown                           // meterStop was -1: the end register is unknown
	ReadingAtUnreadable                          // the timestamp was empty or nonsense: the Kafka record's time is used
	ReadingOffline                               // the charge point says that it was offline then
	ReadingSigned                                // the message has a signed meter value: it stays in the readings topic
)

// Reading is one message of one session, decoded: what goes into the engine.
//
// The byte slices point into the message they were decoded from and are valid until the batch it came in is
// released; whoever keeps one longer copies it.
type Reading struct {
	AtMs          int64 // when it was measured: ms since 1970 UTC, floored; Unknown when the message has no usable time
	RegisterMwh   int64 // cumulative import register, mWh, rounded half up; Unknown when not sent
	PowerMicroW   int64 // active import power, microwatt; Unknown when not sent
	CurrentNanoA  int64 // import current summed over phases, nanoampere; Unknown when not sent
	Seq           int64 // sequence number inside the session; Unknown when the protocol has none
	ResolutionMwh int64 // the step of the register as sent ("3051.11" kWh has 10 Wh); 0 = exact to the mWh
	Connector     int32 // connector number at the charge point; 0 = not said
	Kind          Kind
	State         ChargeState
	Context       Context
	Flags         ReadingFlags

	ChargePoint []byte // charge point identity, up to 48 bytes; empty: the key of the Kafka record
	Transaction []byte // transaction id as text, up to 36 bytes; empty when not known
	MessageID   []byte // OCPP unique id of the call: pairs a Start with its answer; empty otherwise
	Token       []byte // the driver's token in flight; never kept, never written
}

// Point is a cleaned reading: what the pricer sees. Time and register never go back from one Point of a
// session to the next.
type Point struct {
	AtMs         int64 // ms since 1970 UTC
	RegisterMwh  int64 // mWh
	PowerMicroW  int64 // or Unknown
	CurrentNanoA int64 // or Unknown
	State        ChargeState
}

// Change is a change of state between two Points (an OCPP StatusNotification: it has a time but no register).
// It cuts the interval like a clock boundary does; the register there is on the line between the two Points.
type Change struct {
	AtMs  int64
	State ChargeState
}
