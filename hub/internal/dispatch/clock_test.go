package dispatch

import (
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

// TestClock looks for the time of a set clock in all that the server writes or sends.
func TestClock(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC)
	r := newRigAt(t, func() time.Time { return at })
	want := func(what string, got time.Time) {
		t.Helper()
		if !got.Equal(at) {
			t.Errorf("%s: %s, want %s", what, got, at)
		}
	}
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	want("welcome", r.hello(client, bundle.ID{}, 0).welcome().Now.AsTime())
	r.awaitSpoke("a", "connected", func(s store.Spoke) bool {
		if s.Connected {
			want("connected since", s.Since)
		}
		return s.Connected
	})
	_, err := client.Report(t.Context(), &spokev1.ReportRequest{
		Applications: []*spokev1.ApplicationReport{report("one", "1")},
		Events: []*spokev1.Event{{
			Application: &bundlev1.ApplicationName{Kind: "Cluster", Name: "a"}, Type: "Normal", Reason: "Timeless",
		}},
	})
	must(t, err)
	want("event of a spoke", r.awaitEvent("Timeless").Time)
	r.await("a report", func(tx *store.Tx) (found bool, err error) {
		err = store.Reports.Scan(tx, "", func(_ string, row store.Report) error {
			want("report received", row.ReceivedAt)
			found = true
			return nil
		})
		return found, err
	})
	r.written()
	want("event of the hub", r.awaitEvent("Marker").Time)
}

// TestClock_start looks at the rows of spokes that a start finds connected.
func TestClock_start(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC)
	s := store.OpenMemory(store.Twice)
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "a", store.Spoke{Connected: true})
	}))
	must(t, New(Config{Store: s, Now: func() time.Time { return at }}).disconnectAll(t.Context()))
	must(t, s.View(t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, "a")
		if !row.Since.Equal(at) {
			t.Errorf("disconnected since %s, want %s", row.Since, at)
		}
		return err
	}))
}
