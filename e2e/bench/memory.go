package main

import (
	"context"
	"errors"
	"os"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
)

// memory measures what nave-spoke and nave-hub keep in memory, each with all processes below it, once the memory has
// settled (settledMemory).
//
//	spoke.rss_idle_mib            the spoke is connected and has no bundle
//	spoke.rss_1000_mib            the same process has just applied 1,000 ConfigMaps and now keeps them
//	spoke.anon_1000_mib           of that the anonymous memory
//	hub.rss_1000_mib              at the same moment: the hub with its workers, which rendered these objects
//	hub.anon_1000_mib             of that the anonymous memory
//	spoke.rss_1000_restarted_mib  the spoke was stopped and started again with its disk, and keeps the same objects
func memory(ctx context.Context, w *workshop) ([]Result, error) {
	st, err := w.newStand(ctx, setting{selector: "{matchLabels: {bench: later}}", spaces: []string{"bench"},
		files: tree("bench", manyObjects, "kept")})
	if err != nil {
		return nil, err
	}
	results, err := st.memory(ctx)
	return results, errors.Join(err, st.close())
}

func (st *stand) memory(ctx context.Context) (results []Result, err error) {
	if err := st.connected(ctx); err != nil {
		return nil, err
	}
	idle, err := settledMemory(ctx, st.spoke.Process)
	if err != nil {
		return nil, err
	}
	files := map[string]string{"hub/fleet.yaml": fleetManifest("", true)}
	if _, err := st.push(ctx, gittest.Change{Files: files}); err != nil {
		return nil, err
	}
	if err := st.keeping(ctx, manyObjects); err != nil {
		return nil, err
	}
	spoke, err := settledMemory(ctx, st.spoke.Process)
	if err != nil {
		return nil, err
	}
	hub, err := settledMemory(ctx, st.fleet.Hub)
	if err != nil {
		return nil, err
	}
	restarted, err := st.restarted(ctx)
	return []Result{
		figure("spoke.rss_idle_mib", idle.resident, "MiB"),
		figure("spoke.rss_1000_mib", spoke.resident, "MiB"),
		figure("spoke.anon_1000_mib", spoke.anonymous, "MiB"),
		figure("hub.rss_1000_mib", hub.resident, "MiB"),
		figure("hub.anon_1000_mib", hub.anonymous, "MiB"),
		figure("spoke.rss_1000_restarted_mib", restarted.resident, "MiB"),
	}, err
}

// connected waits until the spoke has a session with the hub.
func (st *stand) connected(ctx context.Context) error {
	return kubetest.Until(ctx, "the spoke's session", func(ctx context.Context) error {
		connected, err := st.spoke.Metric(ctx, "nave_spoke_connected")
		if err == nil && connected != 1 {
			err = errors.New(st.spoke.Tail())
		}
		return err
	})
}

// restarted stops the spoke, starts it again, and returns its memory once the spoke has its session and says that its
// bundle is healthy.
func (st *stand) restarted(ctx context.Context) (usage, error) {
	if err := st.spoke.Stop(); err != nil {
		return usage{}, err
	}
	if err := st.spoke.Start(ctx); err != nil {
		return usage{}, err
	}
	if err := st.connected(ctx); err != nil {
		return usage{}, err
	}
	if _, err := st.healthy(ctx, 0); err != nil {
		return usage{}, err
	}
	return settledMemory(ctx, st.spoke.Process)
}

// keeping waits until the spoke says that it has created so many objects and that its bundle is healthy.
func (st *stand) keeping(ctx context.Context, n float64) error {
	return kubetest.Until(ctx, "the objects", func(ctx context.Context) error {
		created, err := st.spoke.Metric(ctx, `nave_spoke_objects_applied_total{action="created"}`)
		if err != nil {
			return err
		}
		if created < n {
			return errors.New(st.spoke.Tail())
		}
		_, err = st.healthy(ctx, 0)
		return err
	})
}

// spokeBinary is the size of nave-spoke, built with CGO_ENABLED=0, -trimpath, -tags grpcnotrace and -ldflags "-s -w".
func spokeBinary(_ context.Context, w *workshop) ([]Result, error) {
	info, err := os.Stat(w.lab.Binary("nave-spoke"))
	if err != nil {
		return nil, err
	}
	return []Result{figure("spoke.binary_mib", float64(info.Size())/(1<<20), "MiB")}, nil
}
