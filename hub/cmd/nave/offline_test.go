package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// absentSpoke answers for a cluster whose spoke disconnected at a time and comes back at another; zero: never.
type absentSpoke struct {
	adminv1.AdminServiceClient
	left, back time.Time
	reason     string
}

func (c absentSpoke) Get(context.Context, *adminv1.GetRequest, ...grpc.CallOption) (*adminv1.GetResponse, error) {
	reason := cmp.Or(c.reason, "Offline")
	if !c.back.IsZero() && time.Now().After(c.back) {
		reason = "Online"
	}
	return &adminv1.GetResponse{Object: &adminv1.Object{Json: fmt.Appendf(nil, `{"status":{"conditions":[{"type":`+
		`"Connected","reason":%q,"message":"last heard from at noon","lastTransitionTime":%q}]}}`, reason,
		wording.Time(c.left))}}, nil
}

// TestRequireSpoke: a request that only an offline spoke can carry out fails at once, and says since when. A spoke that
// just disconnected is waited for; what the hub does alone is not.
func TestRequireSpoke(t *testing.T) {
	app := &adminv1.ObjectKey{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	for name, c := range map[string]struct {
		key   *adminv1.ObjectKey
		left  time.Duration // ago
		back  time.Duration // from now; 0: never
		takes time.Duration
		fails bool
	}{
		"long_offline":  {app, time.Hour, 0, 0, true},
		"cluster":       {&adminv1.ObjectKey{Kind: "Cluster", Name: "east"}, time.Hour, 0, 0, true},
		"source":        {&adminv1.ObjectKey{Cluster: "east", Kind: "GitRepository", Name: "app"}, time.Hour, 0, 0, false},
		"just_left":     {app, 0, 0, reconnects + reconnectLook, true},
		"reconnects":    {app, 0, 3 * time.Second, 3*time.Second + reconnectLook, false},
		"clock_is_back": {app, -time.Hour, 0, reconnects + reconnectLook, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				client := absentSpoke{left: began.Add(-c.left)}
				if c.back > 0 {
					client.back = began.Add(c.back)
				}
				err := requireSpoke(t.Context(), client, c.key)
				if took := time.Since(began); took > c.takes || took < c.takes-reconnectLook {
					t.Errorf("took %s, want %s", took, c.takes)
				}
				if (err != nil) != c.fails || err != nil && !strings.Contains(err.Error(),
					"waits: cluster east is offline: last heard from at noon. The request is kept") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestRequireSpoke_never: a request to a cluster whose spoke never registered fails at once, and says what is
// missing; a cluster that was just added is given the time to join.
func TestRequireSpoke_never(t *testing.T) {
	for ago, takes := range map[time.Duration]time.Duration{time.Hour: 0, 0: reconnects + reconnectLook} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			client := absentSpoke{left: began.Add(-ago), reason: "NotRegistered"}
			err := requireSpoke(t.Context(), client, &adminv1.ObjectKey{Kind: "Cluster", Name: "east"})
			if took := time.Since(began); took > takes || took < takes-reconnectLook || err == nil ||
				!strings.Contains(err.Error(), "Cluster east waits: cluster east has no spoke yet: apply there what nave "+
					"cluster add prints. The request is kept; a spoke that registers carries it out") {
				t.Errorf("added %s ago: %v after %s", ago, err, took)
			}
		})
	}
}

// TestHandled_offline_fleet ends the wait for a Fleet with a cluster that is offline; that of anything else goes on.
func TestHandled_offline_fleet(t *testing.T) {
	for kind, ends := range map[string]bool{"Fleet": true, "GitRepository": false} {
		object, err := decode(&adminv1.Object{Json: fmt.Appendf(nil, `{"kind":%q,"status":{"conditions":[{"type":"Ready",`+
			`"status":"Unknown","reason":"Offline","message":"1 of 2 clusters are ready"}]}}`, kind)})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := handled(object, ""); (err != nil) != ends {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestSuspendedNow_offline says at once that an offline spoke does not stop its repairs yet. The suspension of a
// Cluster alone is the hub's.
func TestSuspendedNow_offline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, key := time.Now(), &adminv1.ObjectKey{Kind: "Cluster", Name: "east"}
		client := absentSpoke{left: began.Add(-time.Hour)}
		p := newProgress(&cobra.Command{})
		err := suspendedNow(t.Context(), p, client, key, &adminv1.SuspendResponse{Changed: true}, true, true)
		if err == nil || !strings.Contains(err.Error(), "cluster east is offline") || time.Since(began) > 0 ||
			!strings.HasSuffix(err.Error(), "Until then the spoke may go on repairing drift") {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
