package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// rotatingHub ends a certificate, and then shows a Cluster in one status after the other.
type rotatingHub struct {
	adminv1.UnimplementedAdminServiceServer
	before string
	after  []string
}

func (h rotatingHub) Get(context.Context, *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return &adminv1.GetResponse{Object: clusterWith(h.before)}, nil
}

func (h rotatingHub) CreateJoinToken(context.Context, *adminv1.CreateJoinTokenRequest) (
	*adminv1.CreateJoinTokenResponse, error) {
	return &adminv1.CreateJoinTokenResponse{Token: "secret", CertificateEnded: true}, nil
}

func (h rotatingHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	for _, status := range h.after {
		m := &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: clusterWith(status)}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return nil
}

// connectedSince returns a status whose condition Connected has a status and a reason since a time, with other fields.
func connectedSince(status, reason string, since time.Time, fields string) string {
	return `{"conditions":[{"type":"Connected","status":"` + status + `","reason":"` + reason + `","message":"offline since ` +
		`noon","lastTransitionTime":"` + wording.Time(since) + `"}]` + fields + `}`
}

// TestRotate_waits ends when the spoke is connected with its new certificate: neither the session of the old one nor
// the registration alone counts. A spoke that was offline before is not awaited.
func TestRotate_waits(t *testing.T) {
	now := time.Now()
	online := connectedSince("True", "Online", now.Add(-time.Hour), `,"registeredAt":"`+wording.Time(now)+`"`)
	registered := `,"certificateExpires":"2027-01-01T00:00:00Z","registeredAt":"` + wording.Time(now) + `"`
	late := connectedSince("True", "Online", now.Add(-time.Hour), registered)
	back := connectedSince("True", "Online", now, registered)
	offline := connectedSince("False", "Offline", now.Add(-time.Hour), "")
	never := connectedSince("False", "NotRegistered", now.Add(-time.Hour), "")
	for name, c := range map[string]struct {
		before string
		after  []string
		args   string
		code   int
		says   []string
	}{
		"back": {online, []string{online, late, back}, "", 0, []string{"the spoke has not used the new token yet",
			"the spoke has its new certificate, and is not connected yet",
			"✔ Cluster east: the spoke is connected with its new certificate, which ends at 2027-01-01T00:00:00Z"}},
		"late":     {online, []string{late}, "--timeout=1s", 1, []string{"not finished in time", "is not connected yet"}},
		"offline":  {offline, nil, "", 1, []string{"the token is written", "cluster east is offline: offline since noon"}},
		"never":    {never, nil, "", 1, []string{"the token is written", "cluster east has no spoke yet. Its spoke uses"}},
		"no_wait":  {offline, nil, "--no-wait", 0, nil},
		"wait=off": {online, nil, "--wait=false", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{"cluster", "rotate", "east", "-y", "--output-dir", dir}, strings.Fields(c.args)...)
			out, code := exitOf(t.Context(), serve(t, rotatingHub{before: c.before, after: c.after}), args...)
			for _, text := range c.says {
				if !strings.Contains(out, text) {
					t.Errorf("%q is not in %s", text, out)
				}
			}
			token, err := os.ReadFile(filepath.Join(dir, "token"))
			if code != c.code || err != nil || string(token) != "secret" {
				t.Errorf("exit code %d, token %q, %v:\n%s", code, token, err, out)
			}
		})
	}
	out, code := exitOf(t.Context(), serve(t, rotatingHub{before: online}), "cluster", "rotate", "east", "-y", "--wait")
	if code != 2 || !strings.Contains(out, "--wait does nothing here") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
