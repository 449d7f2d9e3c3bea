package main

import (
	"context"
	"errors"
	"os"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
)

// spokeMemory measures the resident memory (VmRSS) of nave-spoke, once it stays the same: connected, with no bundle;
// and with 1,000 ConfigMaps that it has just applied and now keeps. It is one process, the second figure bears the
// traces of the work before it.
func spokeMemory(ctx context.Context, w *workshop) ([]Result, error) {
	st, err := w.newStand(ctx, setting{selector: "{matchLabels: {bench: later}}", spaces: []string{"bench"},
		files: tree("bench", manyObjects, "kept")})
	if err != nil {
		return nil, err
	}
	results, err := st.memory(ctx)
	return results, errors.Join(err, st.close())
}

func (st *stand) memory(ctx context.Context) ([]Result, error) {
	err := kubetest.Until(ctx, "the spoke's session", func(ctx context.Context) error {
		if connected, err := metric(ctx, st.spoke.Process, "nave_spoke_connected"); err != nil || connected == 1 {
			return err
		}
		return errors.New(st.spoke.Tail())
	})
	if err != nil {
		return nil, err
	}
	idle, err := settledMemory(ctx, st.spoke.Process)
	if err != nil {
		return nil, err
	}
	if _, err := st.push(ctx, gittest.Change{Files: map[string]string{"hub/fleet.yaml": fleetManifest("",
		true)}}); err != nil {
		return nil, err
	}
	if err := st.keeping(ctx, manyObjects); err != nil {
		return nil, err
	}
	thousand, err := settledMemory(ctx, st.spoke.Process)
	return []Result{figure("spoke.rss_idle_mib", idle, "MiB"), figure("spoke.rss_1000_mib", thousand, "MiB")}, err
}

// keeping waits until the spoke says that it has created so many objects and that its bundle is healthy.
func (st *stand) keeping(ctx context.Context, n float64) error {
	return kubetest.Until(ctx, "the objects", func(ctx context.Context) error {
		created, err := metric(ctx, st.spoke.Process, `nave_spoke_objects_applied_total{action="created"}`)
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
