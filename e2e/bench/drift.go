package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	driftObjects = 200
	driftTimes   = 100
)

// driftRepair edits and deletes objects by hand, in turn, each another one of 200 ConfigMaps: from before the request
// that does the damage is sent, until a watch of the API server shows the object as it should be.
func driftRepair(ctx context.Context, w *workshop) ([]Result, error) {
	st, err := w.newStand(ctx, setting{spaces: []string{"bench"}, files: tree("bench", driftObjects, "desired")})
	if err != nil {
		return nil, err
	}
	samples, err := st.drift(ctx)
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	return []Result{
		figure("drift.repair_p50_ms", percentile(samples, 50), "ms"),
		figure("drift.repair_p99_ms", percentile(samples, 99), "ms"),
	}, st.close()
}

func (st *stand) drift(ctx context.Context) (samples []float64, err error) {
	if _, err := st.healthy(ctx, 0); err != nil {
		return nil, err
	}
	l, err := watchConfigMaps(ctx, st.cluster, "bench")
	if err != nil {
		return nil, err
	}
	defer l.stop()
	for n := range driftTimes {
		took, err := st.driftOne(ctx, l, objectName(n), n%2 == 0)
		if err != nil {
			return nil, fmt.Errorf("repair %d of %s: %w\n%s", n, objectName(n), err, st.spoke.Tail())
		}
		samples = append(samples, milliseconds(took))
		if err := rest(ctx); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// driftOne damages one object and waits for its repair.
func (st *stand) driftOne(ctx context.Context, l *lookout, name string, edit bool) (time.Duration, error) {
	started := time.Now()
	var err error
	if edit {
		err = st.cluster.Edit(ctx, "ConfigMap", "bench", name, `{"data":{"value":"by hand"}}`)
	} else {
		err = st.cluster.Delete(ctx, "ConfigMap", "bench", name)
	}
	if err != nil {
		return 0, err
	}
	damaged := false
	s, err := l.until(ctx, "the repair", func(s sight) bool {
		if s.name != name {
			return false
		}
		damaged = damaged || s.deleted || s.value != "desired"
		return damaged && !s.deleted && s.value == "desired"
	})
	return s.at.Sub(started), err
}
