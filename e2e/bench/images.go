package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const (
	scanRounds  = 9
	scannedTags = 10_000
)

// scanImage scans an image of 10,000 tags, which a registry on loopback lists in pages of 1,000. Each round has one tag
// more.
//
//	image.scan_10000_ms  reconciliation requested → an operator who watches the ImageRepository is told of the new tag;
//	                     the median of the rounds. In it: ten requests, exclusion, sorting, the artifact, the store
func scanImage(ctx context.Context, w *workshop) ([]Result, error) {
	st := &stand{workshop: w}
	results, err := st.scans(ctx)
	return results, errors.Join(err, st.close())
}

func (st *stand) scans(ctx context.Context) (_ []Result, err error) {
	if st.fleet, err = st.lab.NewFleet(ctx, "--log-level=info"); err != nil {
		return nil, err
	}
	if st.hub, err = newOperator(st.fleet.Config()); err != nil {
		return nil, err
	}
	registry := &tagRegistry{}
	server := httptest.NewServer(registry)
	defer server.Close()
	manifest := fmt.Sprintf("apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\n"+
		"metadata: {name: bench, namespace: flux-system}\nspec: {image: %s/org/app, insecure: true, interval: 1h}\n",
		server.Listener.Addr())
	if _, err := st.hub.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(manifest)}); err != nil {
		return nil, err
	}
	watch, err := st.hub.Watch(ctx, &adminv1.WatchRequest{Name: "bench",
		List: &adminv1.ListRequest{Kind: "ImageRepository", Namespace: "flux-system"}})
	if err != nil {
		return nil, err
	}
	var took []float64
	for round := range scanRounds + 1 {
		one, err := st.scan(ctx, registry, watch, scannedTags+round)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		if round > 0 {
			took = append(took, milliseconds(one))
		}
	}
	return []Result{figure("image.scan_10000_ms", median(took), "ms")}, nil
}

// objects is a watch of objects of the hub.
type objects interface {
	Recv() (*adminv1.WatchResponse, error)
}

// scan requests a scan of so many tags and returns how long it takes.
func (st *stand) scan(ctx context.Context, registry *tagRegistry, watch objects, tags int) (time.Duration, error) {
	if err := rest(ctx); err != nil {
		return 0, err
	}
	registry.tags.Store(int64(tags))
	asked := time.Now()
	if err := st.hub.reconcile(ctx, "ImageRepository", "bench"); err != nil {
		return 0, err
	}
	err := untilTags(watch, tags)
	return time.Since(asked), err
}

// untilTags waits until an ImageRepository has a number of tags.
func untilTags(watch objects, want int) error {
	for {
		seen, err := watch.Recv()
		if err != nil {
			return fmt.Errorf("watch the ImageRepository: %w", err)
		}
		var o struct {
			Status struct {
				LastScanResult struct{ TagCount int }
			}
		}
		if json.Unmarshal(seen.GetObject().GetJson(), &o) == nil && o.Status.LastScanResult.TagCount == want {
			return nil
		}
	}
}

// tagRegistry lists tags in pages, as registries do.
type tagRegistry struct{ tags atomic.Int64 }

// ServeHTTP implements http.Handler.
func (r *tagRegistry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if !strings.HasSuffix(request.URL.Path, "/tags/list") {
		return // nobody needs to log in
	}
	all := make([]string, r.tags.Load())
	for i := range all {
		all[i] = fmt.Sprintf("v1.%06d.0", i)
	}
	query := request.URL.Query()
	size, err := strconv.Atoi(query.Get("n"))
	if err != nil {
		size = 100
	}
	from, found := slices.BinarySearch(all, query.Get("last"))
	if found {
		from++
	}
	to := min(from+size, len(all))
	if to < len(all) {
		next := url.Values{"last": {all[to-1]}, "n": {strconv.Itoa(size)}}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, request.URL.Path, next.Encode()))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "org/app", "tags": all[from:to]}) // the hub may have gone
}
