package ocpi

import "strings"

// enum is the values of an OCPI enumeration, with a blank around each.
type enum string

const (
	// connectorStandards are the ConnectorTypes of OCPI 2.2.1 (mod_locations), and the two that later releases added.
	connectorStandards enum = " CHADEMO CHAOJI DOMESTIC_A DOMESTIC_B DOMESTIC_C DOMESTIC_D DOMESTIC_E DOMESTIC_F DOMESTIC_G DOMESTIC_H" +
		" DOMESTIC_I DOMESTIC_J DOMESTIC_K DOMESTIC_L DOMESTIC_M DOMESTIC_N DOMESTIC_O GBT_AC GBT_DC IEC_60309_2_single_16" +
		" IEC_60309_2_three_16 IEC_60309_2_three_32 IEC_60309_2_three_64 IEC_62196_T1 IEC_62196_T1_COMBO IEC_62196_T2" +
		" IEC_62196_T2_COMBO IEC_62196_T3A IEC_62196_T3C NEMA_5_20 NEMA_6_30 NEMA_6_50 NEMA_10_30 NEMA_10_50 NEMA_14_30" +
		" NEMA_14_50 PANTOGRAPH_BOTTOM_UP PANTOGRAPH_TOP_DOWN TESLA_R TESLA_S MCS SAE_J3400 "
	// connectorFormats are the ConnectorFormats of OCPI 2.2.1 (mod_locations).
	connectorFormats enum = " SOCKET CABLE "
	// powerTypes are the PowerTypes of OCPI 2.2.1 (mod_locations).
	powerTypes enum = " AC_1_PHASE AC_2_PHASE AC_2_PHASE_SPLIT AC_3_PHASE DC "
)

// own gives a value as a part of e: a million connectors then keep no text of their own. ok false: it is none of them.
func (e enum) own(value string) (text string, ok bool) {
	for from := 0; value != "" && strings.IndexByte(value, ' ') < 0; {
		i := strings.Index(string(e[from:]), value)
		if i < 0 {
			return "", false
		}
		i += from
		if end := i + len(value); e[i-1] == ' ' && e[end] == ' ' {
			return string(e[i:end]), true
		}
		from = i + 1
	}
	return "", false
}
