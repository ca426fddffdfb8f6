package ocpp

import "github.com/wattline/wattline/rating"

// The words of OCPP 1.6 that count. Each function takes a word without blanks around it.

// contextOf maps ReadingContext.
func contextOf(word []byte) rating.Context {
	switch string(word) {
	case "Sample.Periodic":
		return rating.ContextPeriodic
	case "Transaction.Begin":
		return rating.ContextBegin
	case "Sample.Clock":
		return rating.ContextClock
	case "Transaction.End":
		return rating.ContextEnd
	}
	return rating.ContextOther
}

// quantityOf maps Measurand.
func quantityOf(word []byte) quantityKind {
	switch string(word) {
	case "Energy.Active.Import.Register":
		return energy
	case "Power.Active.Import":
		return power
	case "Current.Import":
		return current
	}
	return otherMeasurand
}

// unitOf maps UnitOfMeasure. Energy units are taken in any case: chargers write KWh and wh.
func unitOf(word []byte) unitKind {
	switch string(word) {
	case "Wh", "wh", "WH", "wH":
		return unitWh
	case "kWh", "KWh", "kwh", "KWH", "kWH", "KwH", "Kwh", "kwH":
		return unitKWh
	case "W", "w":
		return unitW
	case "kW", "KW", "kw", "Kw":
		return unitKW
	case "A", "a", "Amp":
		return unitA
	}
	return otherUnit
}

// slotOf maps Phase.
func slotOf(word []byte) uint8 {
	switch string(word) {
	case "L1", "L1-N":
		return phase1
	case "L2", "L2-N":
		return phase2
	case "L3", "L3-N":
		return phase3
	}
	return noSlot
}

// rankOf maps Location.
func rankOf(word []byte) int8 {
	switch string(word) {
	case "Outlet":
		return rankOutlet
	case "Cable":
		return rankCable
	case "EV":
		return rankEV
	case "Inlet":
		return rankInlet
	}
	return rankBody
}
