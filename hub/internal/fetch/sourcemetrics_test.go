package fetch_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// series returns the values of the series of a metric, by "cluster/name" of the source.
func (h *hub) series(metric string) map[string]float64 {
	h.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		h.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			values[labels["cluster"]+"/"+labels["name"]] = m.GetGauge().GetValue()
		}
	}
	return values
}

// expectSeries compares the series of a metric.
func (h *hub) expectSeries(when, metric string, want map[string]float64) {
	h.Helper()
	if got := h.series(metric); fmt.Sprint(got) != fmt.Sprint(want) {
		h.Errorf("%s: %s is %v, want %v", when, metric, got, want)
	}
}

const (
	failures = "nave_source_consecutive_failures"
	success  = "nave_source_last_success_timestamp_seconds"
	interval = "nave_source_interval_seconds"
)

// TestSeries: a source that cannot be fetched shows since when, and a fetch without news is a success, too.
func TestSeries(t *testing.T) {
	play(t, func(h *hub) {
		began := float64(time.Now().UnixMilli()) / 1000
		h.put(key("", "fleet"), every("1m"))
		h.expectSeries("fetched", success, map[string]float64{"/fleet": began})
		h.expectSeries("fetched", interval, map[string]float64{"/fleet": 60})
		h.pass(10 * time.Minute)
		last := h.series(success)["/fleet"]
		if age := float64(time.Now().Unix()) - last; age > 61 {
			t.Errorf("the last success was %v seconds ago", age)
		}
		h.remote.set(url, "", fmt.Errorf("%w: no answer", source.ErrUnreachable))
		h.pass(30 * time.Minute)
		if got := h.series(success)["/fleet"]; got-last > 61 {
			t.Errorf("a failure counts as success: %v seconds later", got-last)
		}
		if n := h.series(failures)["/fleet"]; n < 20 {
			t.Errorf("%v failures", n)
		}
		h.remote.set(url, "two", nil)
		h.pass(2 * time.Minute)
		h.expectSeries("it is back", failures, map[string]float64{"/fleet": 0})
	})
}

// TestSeries_shared: a fetch that objects share has one series, which bears a name that exists.
func TestSeries_shared(t *testing.T) {
	play(t, func(h *hub) {
		remove := func(k api.Key) {
			h.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, k.Path()) })
		}
		h.update(func(tx *store.Tx) error {
			return errors.Join(put(tx, key("b", "fleet")), put(tx, key("c", "fleet")))
		})
		h.expectSeries("of clusters", failures, map[string]float64{"b/fleet": 0})
		h.put(key("", "fleet"))
		h.expectSeries("of the hub", failures, map[string]float64{"/fleet": 0})
		remove(key("", "fleet"))
		remove(key("b", "fleet"))
		h.expectSeries("of the last one", failures, map[string]float64{"c/fleet": 0})
		h.put(key("c", "fleet"), suspended)
		h.expectSeries("suspended", failures, map[string]float64{})
		remove(key("c", "fleet"))
		h.expectSeries("gone", success, map[string]float64{})
	})
}
