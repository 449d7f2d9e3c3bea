package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
)

const (
	smallTree    = 5
	smallCommits = 100
	manyCommits  = 50
	warmCommits  = 3 // not counted
)

// commitInSmallTree measures a commit that changes one line of one of five ConfigMaps: from the moment the push is done
// and a reconciliation of the GitRepository is requested at the hub, until a watch of the API server shows the new
// value. In it: the request, git's fetch over HTTP, rendering, signing, the hub's transactions, dispatch, the spoke's
// verification and transactions, the apply. Not in it: the start of a CLI process, for the request comes over a
// connection that is open, as a webhook's would.
func commitInSmallTree(ctx context.Context, w *workshop) ([]Result, error) {
	times, err := w.commits(ctx, smallTree, smallCommits)
	if err != nil {
		return nil, err
	}
	return []Result{
		figure("commit_to_live.p50_ms", percentile(times.live, 50), "ms"),
		figure("commit_to_live.p99_ms", percentile(times.live, 99), "ms"),
	}, nil
}

// commitAmongThousand measures the same among 1,000 ConfigMaps in as many files; each commit changes another one. With
// it apply.change_one_ms: from the spoke's log line that it accepted the bundle (verified, and on disk with its blobs)
// until the watch shows the new value; the median.
func commitAmongThousand(ctx context.Context, w *workshop) ([]Result, error) {
	times, err := w.commits(ctx, manyObjects, manyCommits)
	if err != nil {
		return nil, err
	}
	return []Result{
		figure("apply.change_one_ms", median(times.spoke), "ms"),
		figure("commit_to_live_1000.p50_ms", percentile(times.live, 50), "ms"),
		figure("commit_to_live_1000.p99_ms", percentile(times.live, 99), "ms"),
	}, nil
}

// commitTimes are milliseconds of each commit, in order.
type commitTimes struct {
	live  []float64 // asked → live
	spoke []float64 // accepted by the spoke → live

	// Where the time went, for those who look for it: asked → fetched → published → accepted.
	fetched, published, accepted []float64
}

// commitTime is when the steps of one commit were done. Those of the hub and the spoke are from their logs.
type commitTime struct{ asked, fetched, published, accepted, live time.Time }

func (t *commitTimes) add(c commitTime) {
	t.live = append(t.live, milliseconds(c.live.Sub(c.asked)))
	t.fetched = append(t.fetched, milliseconds(c.fetched.Sub(c.asked)))
	t.published = append(t.published, milliseconds(c.published.Sub(c.fetched)))
	t.accepted = append(t.accepted, milliseconds(c.accepted.Sub(c.published)))
	t.spoke = append(t.spoke, milliseconds(c.live.Sub(c.accepted)))
}

func (w *workshop) commits(ctx context.Context, objects, commits int) (commitTimes, error) {
	st, err := w.newStand(ctx, setting{spaces: []string{"bench"}, files: tree("bench", objects, "first")})
	if err != nil {
		return commitTimes{}, err
	}
	times, err := st.commitMany(ctx, objects, commits)
	w.say("medians: fetched after %.0f ms, rendered and published after %.0f more, accepted by the spoke after %.0f, "+
		"live after %.0f",
		median(times.fetched), median(times.published), median(times.accepted), median(times.spoke))
	return times, errors.Join(err, st.close())
}

func (st *stand) commitMany(ctx context.Context, objects, commits int) (t commitTimes, err error) {
	sequence, err := st.healthy(ctx, 0)
	if err != nil {
		return t, err
	}
	l, err := watchConfigMaps(ctx, st.cluster, "bench")
	if err != nil {
		return t, err
	}
	defer l.stop()
	for n := range warmCommits + commits {
		one, err := st.commitOne(ctx, l, n*7%objects, fmt.Sprint("commit ", n))
		if err != nil {
			return t, fmt.Errorf("commit %d: %w", n, err)
		}
		if n >= warmCommits {
			t.add(one)
		}
		if sequence, err = st.healthy(ctx, sequence); err != nil {
			return t, err
		}
		if err := rest(ctx); err != nil {
			return t, err
		}
	}
	return t, nil
}

// commitOne changes the i-th object and waits until the change is live.
func (st *stand) commitOne(ctx context.Context, l *lookout, i int, value string) (t commitTime, err error) {
	hubLog, err := logSize(st.fleet.Hub)
	if err != nil {
		return t, err
	}
	spokeLog, err := logSize(st.spoke.Process)
	if err != nil {
		return t, err
	}
	t.asked, err = st.push(ctx, gittest.Change{Files: map[string]string{"apps/" +
		objectPath(i): configMap("bench", i, value)}})
	if err != nil {
		return t, err
	}
	s, err := l.until(ctx, "the change", func(s sight) bool { return s.name == objectName(i) && s.value == value })
	if err != nil {
		return t, fmt.Errorf("%w\n%s", err, st.spoke.Tail())
	}
	t.live = s.at
	if t.fetched, err = firstLogged(st.fleet.Hub.Log, hubLog, "new artifact"); err != nil {
		return t, err
	}
	if t.published, err = firstLogged(st.fleet.Hub.Log, hubLog, "published bundles"); err != nil {
		return t, err
	}
	t.accepted, err = firstLogged(st.spoke.Log, spokeLog, "bundle accepted")
	return t, err
}
