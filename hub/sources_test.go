package hub_test

import (
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestDeniedSources has GitRepositories whose servers the hub must not dial. The hub sends no request, and the
// condition of the object has the reason.
func TestDeniedSources(t *testing.T) {
	r := start(t, t.TempDir())
	for name, c := range map[string]struct{ address, why string }{
		"hub":      {r.Addr().String(), "where this hub itself listens"},
		"metrics":  {r.HTTPAddr().String(), "where this hub itself listens"},
		"metadata": {"169.254.169.254", "a link-local address"},
		"loopback": {"[::1]", "a loopback address"}, // this hub opens 127.0.0.0/8 alone
	} {
		t.Run(name, func(t *testing.T) {
			r.apply(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, url: "http://` + c.address + `/x.git", ref: {branch: main}}
`)
			if got := r.condition("GitRepository", name); !strings.Contains(got, c.why) {
				t.Errorf("condition is %s", got)
			}
		})
	}
}

// condition waits until an object of flux-system is not ready, and returns it as JSON.
func (r *rig) condition(kind, name string) string {
	r.t.Helper()
	list := &adminv1.ListRequest{Kind: kind, Namespace: "flux-system"}
	stream, err := r.admin().Watch(r.t.Context(), &adminv1.WatchRequest{List: list, Name: name})
	must(r.t, err)
	for {
		m, err := stream.Recv()
		must(r.t, err)
		if text := string(m.GetObject().GetJson()); strings.Contains(text, `"reason":"GitOperationFailed"`) {
			return text
		}
	}
}
