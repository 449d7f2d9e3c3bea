package graph

import "testing"

func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		guard       Guard
		lost, total int
		holds       bool
	}{
		"nothing_lost":      {DefaultGuard, 0, 0, false},
		"only_one":          {DefaultGuard, 1, 1, true},
		"all_of_three":      {DefaultGuard, 3, 3, true},
		"two_of_three":      {DefaultGuard, 2, 3, false},
		"half_of_four":      {DefaultGuard, 2, 4, false},
		"three_of_four":     {DefaultGuard, 3, 4, true},
		"zero_is_default":   {Guard{}, 3, 4, true},
		"smaller_share":     {Guard{Applications: 2, Percent: 10}, 1, 5, true},
		"larger_share":      {Guard{Applications: 4, Percent: 90}, 9, 10, false},
		"all_at_full_share": {Guard{Applications: 4, Percent: 100}, 10, 10, true},
		"share_of_many":     {Guard{Applications: 100, Percent: 0}, 98, 99, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.guard.holds(c.lost, c.total); got != c.holds {
				t.Errorf("holds %d of %d: %t", c.lost, c.total, got)
			}
		})
	}
}

func TestGuard_check(t *testing.T) {
	for _, g := range []Guard{{Applications: 0, Percent: 50}, {Applications: 4, Percent: -1},
		{Applications: 4, Percent: 101}} {
		if g.Check() == nil {
			t.Errorf("%+v passes", g)
		}
	}
	if err := DefaultGuard.Check(); err != nil {
		t.Error(err)
	}
}
