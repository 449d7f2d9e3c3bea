package hub

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// wire is a fake connection that only records its end.
type wire struct {
	net.Conn
	closed bool
}

func (w *wire) Close() error {
	w.closed = true
	return nil
}

// TestConnLimit lets connections come in order, one second apart: "a3" is the third of source a. A word with "-" before
// it ends that connection.
func TestConnLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		bounds bounds
		come   []string
		stay   string // in order
		no     int    // were refused or closed
	}{
		"room":                     {bounds{max: 3}, []string{"a1", "b1", "a2"}, "[a1 b1 a2]", 0},
		"own_oldest":               {bounds{max: 2}, []string{"a1", "a2", "a3"}, "[a2 a3]", 1},
		"own_oldest_is_too_young":  {bounds{max: 2, grace: time.Minute}, []string{"a1", "a2", "a3"}, "[a1 a2]", 1},
		"own_oldest_is_old_enough": {bounds{max: 2, grace: 2 * time.Second}, []string{"a1", "a2", "a3"}, "[a2 a3]", 1},
		"another_source_has_more":  {bounds{max: 3, grace: time.Minute}, []string{"a1", "a2", "a3", "b1"}, "[a2 a3 b1]", 1},
		"down_to_an_equal_share": {bounds{max: 4, grace: time.Minute},
			[]string{"a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"}, "[a3 a4 b1 b2]", 4},
		"many_sources": {bounds{max: 3, grace: time.Minute}, []string{"a1", "b1", "c1", "d1", "e1"},
			"[c1 d1 e1]", 2},
		"the_largest_gets_no_more": {bounds{max: 3, grace: time.Minute}, []string{"b1", "a1", "a2", "a3"}, "[b1 a1 a2]", 1},
		"largest_of_three": {bounds{max: 4, grace: time.Minute},
			[]string{"b1", "a1", "a2", "a3", "c1", "b2", "c2", "c3"}, "[a3 c1 b2 c2]", 4},
		"per_source": {bounds{perSource: 2}, []string{"a1", "b1", "a2", "a3", "b2", "c1"},
			"[b1 a2 a3 b2 c1]", 1},
		"per_source_spares_others": {bounds{max: 5, perSource: 1}, []string{"a1", "b1", "b2"}, "[a1 b2]", 1},
		"those_that_end_make_room": {bounds{max: 2, grace: time.Minute}, []string{"a1", "a2", "-a1", "a3", "-a3", "a4"},
			"[a2 a4]", 0},
		"what_ended_does_not_count": {bounds{max: 3, grace: time.Minute}, []string{"a1", "a2", "-a2", "b1", "b2", "a3"},
			"[a1 b2 a3]", 1},
		"ending_twice_counts_it_out": {bounds{max: 2, grace: time.Minute}, []string{"a1", "-a1", "-a1", "b1", "b2", "b3"},
			"[b1 b2]", 1},
	} {
		t.Run(name, func(t *testing.T) {
			refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
			l := newConnLimit(tt.bounds, refused)
			conns, wires, now, no := map[string]*conn{}, map[string]*wire{}, time.Now(), 0
			for _, word := range tt.come {
				now = now.Add(time.Second)
				if word[0] == '-' {
					must(t, conns[word[1:]].Close())
					continue
				}
				w := &wire{}
				c := &conn{Conn: w, in: l}
				conns[word], wires[word] = c, w
				replaced, ok := l.insert(c, word[:1], now)
				if !ok || replaced != nil {
					no++
				}
			}
			if no != tt.no {
				t.Errorf("%d were refused or replaced, want %d", no, tt.no)
			}
			if stay := l.names(conns); stay != tt.stay {
				t.Errorf("there are %s, want %s", stay, tt.stay)
			}
			for _, c := range conns {
				_ = c.Close()
			}
			if l.count() != 0 || l.order.Len() != 0 || len(l.counts) != 0 {
				t.Errorf("%d, %d and %d stay", l.count(), l.order.Len(), len(l.counts))
			}
		})
	}
}

// names returns the names of the connections in the limit, the oldest first.
func (l *connLimit) names(conns map[string]*conn) string {
	var names []string
	for e := l.order.Front(); e != nil; e = e.Next() {
		for name, c := range conns {
			if c == e.Value.(*place).conn {
				names = append(names, name)
			}
		}
	}
	return fmt.Sprint(names)
}

func TestConnLimitCloses(t *testing.T) {
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	first, second := newConnLimit(bounds{max: 1}, refused), newConnLimit(bounds{max: 1, grace: time.Minute}, refused)
	old, young := &wire{}, &wire{}
	a, b := &conn{Conn: old}, &conn{Conn: young}
	if !a.move(first, "a") || !b.move(first, "a") || !old.closed || young.closed {
		t.Fatal("the older one is not replaced")
	}
	if !b.move(second, "x") || first.count() != 0 || second.count() != 1 {
		t.Fatal("it counts in both, or in none")
	}
	c := &conn{Conn: &wire{}}
	if !c.move(first, "a") || c.move(second, "x") {
		t.Fatal("there is room for two")
	}
	if first.count() != 1 || second.count() != 1 {
		t.Fatal("who was not let in left")
	}
	if n := testutil.ToFloat64(refused); n != 2 {
		t.Fatalf("%v are counted as refused", n)
	}
}

func TestSourceOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:7443":           "192.0.2.1",
		"192.0.2.2:7443":           "192.0.2.2",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1",
		"[2001:db8:1:2:3::4]:1":    "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:22": "2001:db8:1:2::/64",
		"[2001:db8:1:3::]:22":      "2001:db8:1:3::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"pipe":                     "pipe",
	} {
		if got := sourceOf(name(address)); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// name is an address.
type name string

func (name) Network() string  { return "tcp" }
func (n name) String() string { return string(n) }
