package murmur2

import "testing"

func TestPartition(t *testing.T) {
	f := func(key string, want int32) {
		t.Helper()
		if got := int32(sum([]byte(key))); got != want {
			t.Errorf("sum(%q) = %d, want %d", key, got, want)
		}
		if got := Partition([]byte(key), 7); got != (want&0x7fffffff)%7 {
			t.Errorf("Partition(%q, 7) = %d", key, got)
		}
	}
	// The vectors of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
	f("21", -973932308)
	f("foobar", -790332482)
	f("a-little-bit-long-string", -985981536)
	f("a-little-bit-longer-string", -1486304829)
	f("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)
	f("abc", 479470107)
}
