package lru

import "testing"

func TestCache(t *testing.T) {
	c := New[int, string](10)
	for n := range 20 {
		c.Put(n, "value", 3)
		if n > 0 {
			c.Get(1)
		}
	}
	c.Put(19, "another", 1)
	c.Put(99, "too large", 11)
	for key, want := range map[int]string{0: "", 1: "value", 17: "", 18: "value", 19: "value", 99: ""} {
		if got, ok := c.Get(key); got != want || ok != (want != "") {
			t.Errorf("%d: %q, %v, want %q", key, got, ok, want)
		}
	}
	if c.size != 9 || len(c.entries) != 3 || c.recent.Len() != 3 {
		t.Errorf("size %d, %d entries, %d in order; want 9, 3, 3", c.size, len(c.entries), c.recent.Len())
	}
}
