package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/ocitest"
)

const loopRounds = 15

// tagToLive measures the whole loop of an image on two clusters, and in turn the same change committed by hand. Each
// changes a line of one of five ConfigMaps.
//
//	image.tag_to_live_ms     tag pushed to a real registry and reconciliation of the ImageRepository requested → the
//	                         watches of both API servers have shown the new image; the median of the rounds. In it: the
//	                         scan, the choice, the automation's fetch, commit and push, and all that a commit costs
//	image.by_hand_ms         commit pushed and reconciliation of the GitRepository requested → the same; the median
//	image.tag_to_live_ratio  the median of tag ÷ commit by hand
func tagToLive(ctx context.Context, w *workshop) ([]Result, error) {
	st, err := w.newStand(ctx, setting{spaces: []string{loopSpace}, files: tree(loopSpace, smallTree, "first")})
	if err != nil {
		return nil, err
	}
	l := &loopStand{stand: st}
	results, err := l.measure(ctx)
	return results, errors.Join(err, l.close())
}

const loopSpace = "bench"

// loopStand is a stand with a registry and a second cluster.
type loopStand struct {
	*stand
	second   *kubetest.Cluster
	registry *ocitest.Server
	lookouts []*lookout
}

func (l *loopStand) close() error {
	var errs []error
	for _, watch := range l.lookouts {
		watch.stop()
	}
	if l.registry != nil {
		errs = append(errs, l.registry.Close())
	}
	errs = append(errs, l.stand.close())
	if l.second != nil {
		errs = append(errs, l.second.Stop())
	}
	return errors.Join(errs...)
}

func (l *loopStand) measure(ctx context.Context) ([]Result, error) {
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	var tags, hands, ratios []float64
	for round := range loopRounds + warmCommits {
		tag, hand, err := l.round(ctx, round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		if round < warmCommits {
			continue
		}
		tags, hands = append(tags, milliseconds(tag)), append(hands, milliseconds(hand))
		ratios = append(ratios, float64(tag)/float64(hand))
	}
	return []Result{
		figure("image.tag_to_live_ms", median(tags), "ms"),
		figure("image.by_hand_ms", median(hands), "ms"),
		figure("image.tag_to_live_ratio", median(ratios), "ratio"),
	}, nil
}

// prepare starts the second cluster and the registry, and gives the hub the objects of the loop.
func (l *loopStand) prepare(ctx context.Context) (err error) {
	if err := l.addCluster(ctx); err != nil {
		return err
	}
	if l.registry, err = ocitest.Start(ocitest.Options{}); err != nil {
		return err
	}
	if err := l.pushTag(0); err != nil {
		return err
	}
	marked := withMarker(configMap(loopSpace, 0, l.image(0)))
	if _, err := l.push(ctx, gittest.Change{Files: map[string]string{"apps/" + objectPath(0): marked}}); err != nil {
		return err
	}
	if err := l.automate(ctx, l.registry); err != nil {
		return err
	}
	return l.seen(ctx, 0, l.image(0))
}

// addCluster starts the second cluster, and watches both.
func (l *loopStand) addCluster(ctx context.Context) (err error) {
	if l.second, err = kubetest.Start(ctx, kubetest.Options{Name: "second", Progress: l.progress}); err != nil {
		return err
	}
	if err := l.second.Apply(ctx, namespaceOf(loopSpace)); err != nil {
		return err
	}
	if _, err := l.fleet.Join(ctx, l.second, "--label=bench=yes"); err != nil {
		return err
	}
	for _, c := range []*kubetest.Cluster{l.cluster, l.second} {
		watch, err := watchConfigMaps(ctx, c, loopSpace)
		if err != nil {
			return err
		}
		l.lookouts = append(l.lookouts, watch)
	}
	return nil
}

// image is the n-th image.
func (l *loopStand) image(n int) string {
	return fmt.Sprintf("%s/org/app:1.0.%d", l.registry.Host(), n)
}

func (l *loopStand) pushTag(n int) error {
	_, err := l.registry.Commit(fmt.Sprintf("org/app:1.0.%d", n), map[string]string{"version": fmt.Sprint(n)}, "")
	return err
}

// seen waits until both clusters have a value of the i-th object.
func (l *loopStand) seen(ctx context.Context, i int, value string) error {
	for _, watch := range l.lookouts {
		_, err := watch.until(ctx, value, func(s sight) bool { return s.name == objectName(i) && s.value == value })
		if err != nil {
			return fmt.Errorf("%w\n%s", err, l.fleet.Hub.Tail())
		}
	}
	return nil
}

// round changes one object by a tag and another one by hand; which comes first changes from round to round.
func (l *loopStand) round(ctx context.Context, round int) (tag, hand time.Duration, err error) {
	both := []func() error{
		func() (err error) { tag, err = l.byTag(ctx, round+1); return err },
		func() (err error) { hand, err = l.byHand(ctx, fmt.Sprint("by hand ", round)); return err },
	}
	for i := range both {
		if err := both[(i+round)%2](); err != nil {
			return 0, 0, err
		}
		if err := rest(ctx); err != nil {
			return 0, 0, err
		}
	}
	return tag, hand, nil
}

func (l *loopStand) byTag(ctx context.Context, n int) (time.Duration, error) {
	if err := l.pushTag(n); err != nil {
		return 0, err
	}
	asked := time.Now()
	if err := l.hub.reconcile(ctx, "ImageRepository", loopName); err != nil {
		return 0, err
	}
	err := l.seen(ctx, 0, l.image(n))
	return time.Since(asked), err
}

func (l *loopStand) byHand(ctx context.Context, value string) (time.Duration, error) {
	if err := l.fleet.Repo.Sync(); err != nil { // the automation has pushed
		return 0, err
	}
	asked, err := l.push(ctx, gittest.Change{Files: map[string]string{"apps/" + objectPath(1): configMap(loopSpace, 1,
		value)}})
	if err != nil {
		return 0, err
	}
	err = l.seen(ctx, 1, value)
	return time.Since(asked), err
}
