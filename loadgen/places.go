package loadgen

// place is a town that sites stand in.
type place struct {
	code, city, country, zone string // country is ISO 3166-1 alpha-3
	latitude, longitude       string
	slowTariffs, fastTariffs  []int32 // indexes of tariffs of charge points there
}

// cityPlaces are where the charge points of a city network stand: the city itself, and some towns whose clocks are
// different. Offsets of 0, 1 and 2 hours, all with summer time, and one whose offset is not a whole hour.
func cityPlaces() []place {
	slow := []int32{tariffDayNight, tariffDayNight, tariffWeek, tariffKwhTiers, tariffHotel, tariffHours, tariffReserve, tariffFree}
	fast := []int32{tariffPower, tariffPower, tariffMotorway}
	ams := place{"AMS", "Amsterdam", "NLD", "Europe/Amsterdam", "52.3702160", "4.8951680", slow, fast}
	return []place{
		ams, ams, ams, ams, ams, ams,
		{"BER", "Berlin", "DEU", "Europe/Berlin", "52.5200070", "13.4049540", slow, fast},
		{"LON", "London", "GBR", "Europe/London", "51.5073510", "-0.1277580", []int32{tariffLondon}, []int32{tariffLondonFast}},
		{"LIS", "Lisbon", "PRT", "Europe/Lisbon", "38.7222520", "-9.1393370", slow, fast},
		{"HEL", "Helsinki", "FIN", "Europe/Helsinki", "60.1698560", "24.9383790", slow, fast},
		{"ATH", "Athens", "GRC", "Europe/Athens", "37.9838100", "23.7275390", slow, fast},
		{"ADL", "Adelaide", "AUS", "Australia/Adelaide", "-34.9284990", "138.6007460", slow, fast},
	}
}

// benchPlaces have one clock under different names, so that all sessions cross a price change at one time.
func benchPlaces() []place {
	return []place{
		{code: "AMS", city: "Amsterdam", country: "NLD", zone: "Europe/Amsterdam", latitude: "52.3702160", longitude: "4.8951680"},
		{code: "BER", city: "Berlin", country: "DEU", zone: "Europe/Berlin", latitude: "52.5200070", longitude: "13.4049540"},
		{code: "PAR", city: "Paris", country: "FRA", zone: "Europe/Paris", latitude: "48.8566140", longitude: "2.3522220"},
		{code: "ROM", city: "Rome", country: "ITA", zone: "Europe/Rome", latitude: "41.9027830", longitude: "12.4963650"},
	}
}
