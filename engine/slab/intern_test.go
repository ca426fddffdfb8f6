package slab

import "testing"

// TestInternFill: what a snapshot brought is found under its number, what is new gets the next one, and a value that is
// there twice is told.
func TestInternFill(t *testing.T) {
	n := NewNames()
	if !n.Fill([]string{"", "a", "b"}) || n.Put("b") != 2 || n.Put("c") != 3 || n.List[3] != "c" || len(n.First) != 4 {
		t.Errorf("names %+v", n)
	}
	if i, ok := n.Find([]byte("a")); !ok || i != 1 {
		t.Errorf("a is number %d, %v", i, ok)
	}
	if _, ok := n.Find(nil); ok {
		t.Error("the unused name is found")
	}
	if n.Fill([]string{"", "a", "a"}) {
		t.Error("a name that is there twice is taken")
	}
	x := NewInterned[string, int]()
	if !x.Fill([]string{"", "a", "b"}, []int{0, 10, 20}) || x.Put("b", 0) != 2 || x.Info[2] != 20 || x.Put("c", 30) != 3 || x.Info[3] != 30 || x.Ref[3] != "c" {
		t.Errorf("interned %+v", x)
	}
	if x.Fill([]string{"", "a", "b", "a"}, make([]int, 4)) {
		t.Error("a value that is there twice is taken")
	}
}
