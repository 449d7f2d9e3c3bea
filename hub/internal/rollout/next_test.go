package rollout

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// staged has a canary, and then everything else, two at a time.
const staged = `
stages:
- {name: canary, clusterSelector: {matchLabels: {ring: "1"}}, minSuccessTime: 10m}
- {name: prod, maxConcurrency: 2}
`

// TestNext plays histories of a Fleet. The first stage is that of the canary, at 0.
func TestNext(t *testing.T) {
	for name, play := range map[string]func(w *world){
		"nothing_to_do": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.want("0 a:Done canary:Done")
		},
		"stages_in_order": func(w *world) {
			w.has("canary@0 a@1 b@1 c@1", "1")
			w.decide()
			w.plan("canary a b c", "2")
			w.run(10 * time.Minute)
			w.want("1 Progressing a:Waiting b:Waiting c:Waiting canary:UnderWay")
			w.run(time.Minute + time.Second)
			w.want("1 Progressing a:UnderWay b:UnderWay c:Waiting canary:Done")
			w.run(time.Minute)
			w.want("1 Progressing a:Done b:Done c:UnderWay canary:Done")
			w.run(time.Minute)
			w.want("1 Succeeded a:Done b:Done c:Done canary:Done")
		},
		"unchanged_clusters_are_done_at_once": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("a", "2")
			w.decide()
			w.want("1 Progressing a:UnderWay canary:Done")
		},
		"first_rollout_of_a_new_fleet": func(w *world) {
			w.plan("canary@0 a@1", "1")
			w.run(2 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.run(10 * time.Minute)
			w.want("1 Succeeded a:Done canary:Done")
		},
		"bad_change_stops_at_the_canary": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.breaks("2")
			w.decide()
			w.plan("canary a", "2")
			w.run(time.Hour)
			w.want("1 Failed a:Waiting canary:Failed")
			if w.r.Message != "stage canary failed on canary: crashes" {
				w.t.Errorf("message %q", w.r.Message)
			}
		},
		"older_health_never_counts": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide() // the canary is healthy with what it had before
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.member("canary").Connected = false // and never takes up the new content
			w.member("canary").Received = false
			w.run(20 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
		},
		"health_of_what_was_not_released_yet": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.slow = true
			w.plan("canary a", "2")
			w.run(20 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.slow = false
			w.run(11*time.Minute + time.Second)
			w.want("1 Progressing a:UnderWay canary:Done")
		},
		"break_of_health_begins_the_soak_anew": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.run(9 * time.Minute)
			w.since["canary"] = w.now // it restarts
			w.run(9 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.run(2 * time.Minute)
			w.want("1 Progressing a:UnderWay canary:Done")
		},
		"done_cluster_that_fails_stops_the_rollout": func(w *world) {
			w.has("canary@0 a@1 b@1 c@1", "1")
			w.decide()
			w.plan("canary a b c", "2")
			w.run(11*time.Minute + time.Second)
			w.breaks("2")
			w.run(30 * time.Second)
			w.want("1 Failed a:UnderWay b:UnderWay c:Waiting canary:Failed")
		},
		"failure_budget": func(w *world) {
			w.spec.Stages[1].MaxFailures = shareOf("34%")
			w.has("a@1 b@1 c@1", "1")
			w.breaks("bad")
			w.decide()
			w.plan("b c", "2")
			w.plan("a", "bad")
			w.run(10 * time.Minute)
			w.want("1 Succeeded a:Failed b:Done c:Done")
			if w.r.Message != "1 failed" {
				w.t.Errorf("message %q", w.r.Message)
			}
		},
		"deadline": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			w.since["canary"] = w.now.Add(24 * time.Hour) // it hangs
			w.run(29 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.run(2 * time.Minute)
			w.want("1 Failed a:Waiting canary:Failed")
		},
		"deadline_does_not_count_time_without_a_hub": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			w.since["canary"] = w.now.Add(24 * time.Hour)
			w.now = w.now.Add(5 * time.Hour)
			w.up = w.now
			w.run(29 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
		},
		"offline_cluster_is_skipped_and_caught_up": func(w *world) {
			w.has("canary@0 a@1 b@1", "1")
			w.decide()
			w.plan("canary a b", "2")
			w.member("a").Connected = false
			w.run(15 * time.Minute)
			w.want("1 Waiting a:Waiting b:Done canary:Done")
			w.run(30 * time.Minute)
			w.want("1 Succeeded a:Skipped b:Done canary:Done")
			w.member("a").Connected = true
			w.run(2 * time.Minute)
			w.want("1 Succeeded a:Done b:Done canary:Done")
		},
		"offline_cluster_is_waited_for": func(w *world) {
			w.spec.Unreachable.Policy = api.WaitForUnreachable
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.member("canary").Connected = false
			w.run(24 * time.Hour)
			w.want("1 Waiting a:Waiting canary:Waiting")
			if !strings.Contains(w.r.Message, "it waits for cluster canary, which is offline since") {
				w.t.Errorf("message %q", w.r.Message)
			}
		},
		"cluster_that_goes_dark_with_the_change_has_failed": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			w.member("canary").Connected = false
			w.run(time.Hour)
			w.want("1 Failed a:Waiting canary:Failed")
		},
		"unhealthy_clusters_come_last": func(w *world) {
			w.spec.Stages[1].MaxConcurrency = shareOf("1")
			w.has("b@1 c@1", "1")
			w.has("a@1", "bad")
			w.breaks("bad")
			w.decide()
			w.plan("a b c", "2")
			w.decide()
			w.want("1 Progressing a:Waiting b:UnderWay c:Waiting")
			w.run(2*time.Minute + time.Second)
			w.want("1 Progressing a:UnderWay b:Done c:Done")
		},
		"newer_content_begins_at_the_first_stage": func(w *world) {
			w.has("canary@0 a@1 b@1 c@1", "1")
			w.decide()
			w.plan("canary a b c", "2")
			w.run(11*time.Minute + time.Second)
			w.want("1 Progressing a:UnderWay b:UnderWay c:Waiting canary:Done")
			w.plan("canary a b c", "3")
			w.run(2 * time.Minute)
			w.want("2 Progressing a:Waiting b:Waiting c:Waiting canary:UnderWay")
			if len(w.ended) != 1 || w.ended[0].Phase != Superseded {
				w.t.Errorf("ended %+v", w.ended)
			}
			w.run(15 * time.Minute)
			w.want("2 Succeeded a:Done b:Done c:Done canary:Done")
		},
		"plans_that_come_in_parts_are_one_rollout": func(w *world) {
			w.has("canary@0 a@1 b@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			w.plan("b", "2")
			w.plan("new@1", "2")
			w.decide()
			w.want("1 Progressing a:Waiting b:Waiting canary:UnderWay new:Waiting")
			w.run(20 * time.Minute)
			w.want("1 Succeeded a:Done b:Done canary:Done new:Done")
		},
		"rollback": func(w *world) {
			w.spec.OnFailure = api.RollbackOnFailure
			w.has("canary@0 a@1 b@1 c@1", "1")
			w.breaks("bad")
			w.decide()
			w.plan("canary a c", "2")
			w.plan("b", "bad")
			w.run(12*time.Minute + time.Second)
			w.want("1 RollingBack a:Restoring b:Restoring c:Waiting canary:Done")
			w.run(time.Minute)
			w.want("1 RollingBack a:Restored b:Restored c:Waiting canary:Restoring")
			w.run(time.Hour)
			w.want("1 RolledBack a:Restored b:Restored c:Waiting canary:Restored")
			for _, m := range w.members {
				if m.Released != digest("1") {
					w.t.Errorf("%s has other content", m.Cluster)
				}
			}
			w.plan("canary a b c", "3")
			w.run(20 * time.Minute)
			w.want("2 Succeeded a:Done b:Done c:Done canary:Done")
		},
		"rollback_to_what_was_done_before": func(w *world) {
			w.has("canary@0", "1")
			w.breaks("2")
			w.breaks("3")
			w.spec.OnFailure = api.RollbackOnFailure
			w.decide()
			w.plan("canary", "2")
			w.run(30 * time.Second)
			w.plan("canary", "3") // although it runs 2 now, which was never done
			w.run(time.Hour)
			w.want("2 RolledBack canary:Restored")
			if w.member("canary").Released != digest("1") {
				w.t.Error("the canary has other content")
			}
		},
		"release_of_a_rollback": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.run(2 * time.Minute)
			w.must(w.r.RollBack())
			w.run(time.Hour)
			w.want("1 RolledBack a:Waiting canary:Restored")
			w.must(w.r.Release())
			w.run(20 * time.Minute)
			w.want("2 Succeeded a:Done canary:Done")
		},
		"abort": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			w.must(w.r.Abort())
			w.run(time.Hour)
			w.want("1 Aborted a:Waiting canary:Done")
			w.plan("canary a", "3")
			w.run(time.Hour)
			w.want("2 Succeeded a:Done canary:Done")
		},
		"suspend": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.must(w.r.Suspend(true))
			w.plan("canary a", "2")
			w.run(time.Hour)
			w.want("1 Suspended a:Waiting canary:Waiting")
			w.must(w.r.Suspend(false))
			w.run(time.Hour)
			w.want("1 Succeeded a:Done canary:Done")
		},
		"retry": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.breaks("2")
			w.decide()
			w.plan("canary a", "2")
			w.run(5 * time.Minute)
			w.want("1 Failed a:Waiting canary:Failed")
			delete(w.bad, digest("2"))
			w.must(w.r.Retry(0, &w.member("canary").Was, w.now))
			w.run(5 * time.Minute)
			w.want("1 Progressing a:Waiting canary:UnderWay")
			w.run(10 * time.Minute)
			w.want("1 Succeeded a:Done canary:Done")
		},
		"skip": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.breaks("2")
			w.decide()
			w.plan("canary", "2")
			w.plan("a", "2b")
			w.run(5 * time.Minute)
			w.must(w.r.Skip(&w.member("canary").Was, "ann", w.now))
			w.run(2 * time.Minute)
			w.want("1 Succeeded a:Done canary:LeftOut")
		},
		"approvals": func(w *world) {
			w.spec.Stages[1].BeforeStage = []api.RolloutTask{{Type: api.ApprovalTask}}
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.decide()
			if _, err := w.r.Approve(w.spec, "prod", "ann", w.now); !errors.Is(err, ErrNothing) {
				w.t.Errorf("approved before it was asked: %v", err)
			}
			w.run(time.Hour)
			w.want("1 Waiting a:Waiting canary:Done")
			place, err := w.r.Approve(w.spec, "", "ann", w.now)
			w.must(err)
			if place != "before stage prod" {
				w.t.Errorf("approved %q", place)
			}
			w.run(2 * time.Minute)
			w.want("1 Succeeded a:Done canary:Done")
		},
		"joins_and_leaves": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("canary a", "2")
			w.run(12*time.Minute - 30*time.Second)
			w.want("1 Progressing a:UnderWay canary:Done")
			w.plan("canary2@0 b@1", "2")
			w.decide()
			w.want("1 Progressing a:UnderWay b:Waiting canary:Done canary2:UnderWay")
			w.plan("canary", "")
			w.decide()
			w.want("1 Progressing a:UnderWay b:Waiting canary:Leaving canary2:UnderWay")
			w.run(5 * time.Minute)
			w.want("1 Succeeded a:Done b:Done canary2:UnderWay")
		},
		"cluster_that_joins_later_gets_it_at_once": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.decide()
			w.plan("b@1", "1")
			w.run(2 * time.Minute)
			w.want("0 a:Done b:Done canary:Done")
		},
		"pinned_cluster_is_caught_up_after_its_pin": func(w *world) {
			w.has("canary@0 a@1", "1")
			w.member("canary").Excluded = "it is pinned"
			w.decide()
			w.plan("canary a", "2")
			w.run(10 * time.Minute)
			w.want("1 Succeeded a:Done canary:Skipped")
			w.member("canary").Excluded = ""
			w.run(15 * time.Minute)
			w.want("1 Succeeded a:Done canary:Done")
		},
		"windows": func(w *world) {
			w.spec.Windows = []api.RolloutWindow{{Kind: api.AllowWindow, Schedule: "0 10 * * *"}}
			w.spec.Windows[0].Duration.Duration = time.Hour
			w.has("a@1", "1")
			w.decide()
			w.plan("a", "2")
			w.run(119 * time.Minute) // from 8 o'clock
			w.want("1 Waiting a:Waiting")
			if w.r.Message != "no window is open before 2026-11-27T10:00:00Z" {
				w.t.Errorf("message %q", w.r.Message)
			}
			w.run(2*time.Minute + time.Second)
			w.want("1 Succeeded a:Done")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, staged)
			w.t = t
			play(w)
		})
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
