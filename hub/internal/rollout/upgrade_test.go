package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

var (
	start   = time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	letters = map[byte]string{'w': condition.SpokeUpgradePending, 'u': condition.SpokeUpgrading,
		'd': condition.SpokeUpgraded, 'f': condition.SpokeUpgradeFailed, 'n': condition.SpokeNotUpgradable,
		'c': condition.SpokeImageConflict}
)

func numbered(sequence uint64) bundle.ID { return bundle.ID{Epoch: 1, Sequence: sequence} }

// spokeIn returns a spoke in a state: w waits for its turn, o is offline, s is suspended, u is under way, f failed,
// d is done, n cannot be upgraded, c is in conflict.
func spokeIn(state byte, cluster string, groups ...string) Spoke {
	s := Spoke{Cluster: cluster, Image: "r/s:v2", Groups: groups, Runs: "r/s:v1", Connected: true, Received: numbered(5),
		Applied: numbered(5), Healthy: numbered(5)}
	switch state {
	case 'o':
		s.Connected, s.Waits = false, "offline"
	case 's':
		s.Waits = "suspended"
	case 'u':
		s.Was = Upgrade{Reason: condition.SpokeUpgrading, Began: start.Add(-time.Minute)}
	case 'f':
		s.Was, s.Failure = Upgrade{Reason: condition.SpokeUpgrading, Began: start.Add(-time.Minute)}, "ImagePullBackOff"
	case 'd':
		s.Runs = "r/s:v2"
	case 'n':
		s.Unable = "it runs in no Pod"
	case 'c':
		s.Conflict = "a and b want different images"
	}
	return s
}

// TestUpgrades decides whose turn it is. Each letter is a cluster of one Fleet: see spokeIn. A capital U began now.
func TestUpgrades(t *testing.T) {
	for name, c := range map[string]struct {
		limit    int
		now, got string
	}{
		"first_alone":               {5, "wwww", "Uwww"},
		"one_at_a_time_by_default":  {0, "dwww", "dUww"},
		"under_way":                 {1, "duww", "duww"},
		"first_under_way":           {5, "uwww", "uwww"},
		"several":                   {3, "dwwwww", "dUUUww"},
		"several_under_way":         {3, "duwwww", "duUUww"},
		"failed_stops_all":          {3, "dfww", "dfww"},
		"failed_beside_one":         {3, "ufww", "ufww"},
		"first_failed":              {3, "fwww", "fwww"},
		"offline_takes_no_place":    {1, "owww", "wUww"},
		"suspended_takes_no_place":  {1, "swww", "wUww"},
		"unable_takes_no_place":     {1, "nwww", "nUww"},
		"conflict_takes_no_place":   {1, "cwww", "cUww"},
		"all_offline":               {3, "oooo", "wwww"},
		"back_after_the_others":     {1, "wddd", "Uddd"},
		"all_done":                  {1, "dddd", "dddd"},
		"more_places_than_clusters": {9, "dww", "dUU"},
		"nothing":                   {1, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var spokes []Spoke
			for i := range len(c.now) {
				spokes = append(spokes, spokeIn(c.now[i], fmt.Sprintf("c%02d", i), "fleet"))
			}
			if got := lettersOf(Upgrades(spokes, map[string]int{"fleet": c.limit}, time.Time{}, start)); got != c.got {
				t.Errorf("%s becomes %s, want %s", c.now, got, c.got)
			}
		})
	}
}

// lettersOf returns a letter for each upgrade; U: it began now.
func lettersOf(all []Upgrade) string {
	got := ""
	for _, u := range all {
		for letter, reason := range letters {
			switch {
			case reason != u.Reason:
			case u.Began.Equal(start):
				got += strings.ToUpper(string(letter))
			default:
				got += string(letter)
			}
		}
	}
	return got
}

// TestUpgrades_groups upgrades a cluster of two Fleets only if both have room for it.
func TestUpgrades_groups(t *testing.T) {
	spokes := []Spoke{spokeIn('d', "a", "one", "two"), spokeIn('w', "b", "one", "two"), spokeIn('w', "c", "two"),
		spokeIn('w', "d", "one"), spokeIn('w', "e", "one")}
	got := lettersOf(Upgrades(spokes, map[string]int{"one": 2, "two": 1}, time.Time{}, start))
	if got != "dUwUw" {
		t.Errorf("got %s", got)
	}
	spokes[3] = spokeIn('f', "d", "one")
	if got = lettersOf(Upgrades(spokes, map[string]int{"one": 2, "two": 1}, time.Time{}, start)); got != "dwUfw" {
		t.Errorf("after a failure in one Fleet: %s", got)
	}
	for i, want := range map[int]string{1: "another cluster was not upgraded", 4: "another cluster was not upgraded"} {
		all := Upgrades(spokes, map[string]int{"one": 2, "two": 1}, time.Time{}, start)
		if got := all[i].Message; !strings.HasPrefix(got, want) {
			t.Errorf("%s waits because %s", spokes[i].Cluster, got)
		}
	}
}

// TestUpgrades_progress follows one spoke from the offer until it is done or has failed.
func TestUpgrades_progress(t *testing.T) {
	begun := Upgrade{Reason: condition.SpokeUpgrading, Began: start.Add(-time.Minute), WasHealthy: true}
	late, arrived := begun, begun
	late.Began = start.Add(-UpgradeDeadline)
	arrived.Arrived, arrived.At = true, numbered(5)
	arrivedLate := arrived
	arrivedLate.Began = late.Began
	unhealthy := arrived
	unhealthy.WasHealthy = false
	failed := late
	failed.Reason, failed.Message = condition.SpokeUpgradeFailed, "ImagePullBackOff"
	done := Upgrade{Reason: condition.SpokeUpgraded, Began: start.Add(-time.Hour)}
	for _, c := range []struct {
		name    string
		was     Upgrade
		change  func(*Spoke)
		want    string
		message string
	}{
		{"tries", begun, func(*Spoke) {}, "u", "tries the image"},
		{"restarts", begun, func(s *Spoke) { s.Connected = false }, "u", "went offline after its upgrade began"},
		{"reports_a_failure", begun, func(s *Spoke) { s.Failure = "ImagePullBackOff" }, "f", "ImagePullBackOff"},
		{"never_changes", late, func(*Spoke) {}, "f", "still runs r/s:v1 after 10m"},
		{"image_unknown", late, func(s *Spoke) { s.Runs = "" }, "f", "still runs an image that it cannot tell"},
		{"never_comes_back", late, func(s *Spoke) { s.Connected = false }, "f", "is not back after 10m"},
		{"tries_again_after_a_failure", failed, func(*Spoke) {}, "f", "ImagePullBackOff"},
		{"arrives", begun, func(s *Spoke) { s.Runs = "r/s:v2" }, "u", "has not applied every application since"},
		{"arrives_after_a_failure", failed, func(s *Spoke) { s.Runs = "r/s:v2" }, "u", "has not applied"},
		{"old_health_does_not_count", arrived, func(s *Spoke) { s.Runs = "r/s:v2" }, "u", "has not applied"},
		{"applied", arrived, func(s *Spoke) { s.Runs, s.Applied = "r/s:v2", numbered(6) }, "u", "not every application is ready"},
		{"healthy", arrived, func(s *Spoke) { s.Runs, s.Applied, s.Healthy = "r/s:v2", numbered(6), numbered(6) }, "d", ""},
		{"was_unhealthy_before", unhealthy, func(s *Spoke) { s.Runs, s.Applied = "r/s:v2", numbered(6) }, "d", ""},
		{"crashes_later", arrived, func(s *Spoke) { s.Runs, s.Connected = "r/s:v2", false }, "u", "went offline"},
		{"never_ready", arrivedLate, func(s *Spoke) { s.Runs, s.Applied = "r/s:v2", numbered(6) }, "f", "for more than 10m"},
		{"ready_in_the_end", arrivedLate, func(s *Spoke) { s.Runs, s.Applied, s.Healthy = "r/s:v2", numbered(6), numbered(6) }, "d", ""},
		{"replaced_by_hand", begun, func(s *Spoke) { s.Unable = "too old" }, "n", "too old"},
		{"done_and_offline", done, func(s *Spoke) { s.Runs, s.Connected = "r/s:v2", false }, "d", ""},
		{"done_and_image_unknown", done, func(s *Spoke) { s.Runs = "" }, "d", ""},
		{"changed_back_by_hand", done, func(*Spoke) {}, "U", "tries the image"},
		{"changed_back_while_suspended", done, func(s *Spoke) { s.Waits = "suspended" }, "w", "suspended"},
		{"suspended_meanwhile", begun, func(s *Spoke) { s.Waits = "suspended" }, "u", "tries the image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spokeIn('w', "a", "fleet")
			s.Was = c.was
			c.change(&s)
			u := Upgrades([]Spoke{s}, nil, time.Time{}, start)[0]
			got := lettersOf([]Upgrade{u})
			if c.want != "U" {
				got = strings.ToLower(got)
			}
			if got != c.want || !strings.Contains(u.Message, c.message) || (c.message == "") != (u.Message == "") {
				t.Errorf("%s: %q, want %s: %q", got, u.Message, c.want, c.message)
			}
		})
	}
}

// TestUpgrades_hub_was_down gives the spokes their whole time again after nobody could get the image from the hub.
func TestUpgrades_hub_was_down(t *testing.T) {
	long := start.Add(-time.Hour)
	for name, change := range map[string]func(*Spoke){
		"not_back":           func(s *Spoke) { s.Connected = false },
		"got_it_just_now":    func(*Spoke) {},
		"arrived_before":     func(s *Spoke) { s.Runs, s.Was.Arrived, s.Was.At = "r/s:v2", true, numbered(5) },
		"arrived_and_absent": func(s *Spoke) { s.Runs, s.Was.Arrived, s.Connected = "r/s:v2", true, false },
	} {
		t.Run(name, func(t *testing.T) {
			s := spokeIn('w', "a", "fleet")
			s.Was = Upgrade{Reason: condition.SpokeUpgrading, Began: long, WasHealthy: true}
			change(&s)
			for up, want := range map[time.Time]string{
				start.Add(time.Second - UpgradeDeadline): condition.SpokeUpgrading,
				start.Add(-UpgradeDeadline):              condition.SpokeUpgradeFailed,
			} {
				if got := Upgrades([]Spoke{s}, nil, up, start)[0]; got.Reason != want {
					t.Errorf("%s after the hub came back: %s: %s", start.Sub(up), got.Reason, got.Message)
				}
			}
		})
	}
}

// TestUpgrades_clock_set_back ends an upgrade at its deadline, although it began in what is the future now.
func TestUpgrades_clock_set_back(t *testing.T) {
	future := start.AddDate(1, 0, 0)
	for _, arrived := range []bool{false, true} {
		s := spokeIn('w', "a", "fleet")
		s.Was = Upgrade{Reason: condition.SpokeUpgrading, Began: future, WasHealthy: true, Arrived: arrived, At: numbered(5)}
		if arrived {
			s.Runs = s.Image
		}
		var got string
		for _, later := range []time.Duration{0, UpgradeDeadline - 1, UpgradeDeadline} {
			s.Was = Upgrades([]Spoke{s}, nil, future, start.Add(later))[0]
			got += strings.ToLower(lettersOf([]Upgrade{s.Was}))
		}
		if got != "uuf" {
			t.Errorf("arrived %v: %s", arrived, got)
		}
	}
}

// TestUpgrades_lost_state counts the first bundle that a spoke without its old disk applies.
func TestUpgrades_lost_state(t *testing.T) {
	s := spokeIn('u', "a", "fleet")
	s.Runs, s.Received, s.Applied, s.Healthy = "r/s:v2", bundle.ID{}, bundle.ID{}, bundle.ID{}
	var got []string
	for _, id := range []bundle.ID{{}, {}, numbered(5)} {
		s.Received, s.Applied, s.Healthy = id, id, id
		s.Was = Upgrades([]Spoke{s}, nil, time.Time{}, start)[0]
		got = append(got, s.Was.Reason)
	}
	want := []string{condition.SpokeUpgrading, condition.SpokeUpgrading, condition.SpokeUpgraded}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
