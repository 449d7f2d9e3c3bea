package hub

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/shared/identity"
)

// expires returns the times of nave_certificate_expiration_timestamp_seconds by "certificate/name".
func expires(t *testing.T, registry *prometheus.Registry) map[string]time.Time {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	found := map[string]time.Time{}
	for _, family := range families {
		if family.GetName() == expiration.Name {
			for _, m := range family.Metric {
				found[m.Label[0].GetValue()+"/"+m.Label[1].GetValue()] = time.Unix(int64(m.Gauge.GetValue()), 0)
			}
		}
	}
	return found
}

// TestExpirations: the hub shows when its certificates and those of operators who called expire.
func TestExpirations(t *testing.T) {
	h := startHub(t)
	operator := identity.ID{TrustDomain: h.authority.TrustDomain(), Role: identity.Operator, Name: "eve"}
	c := h.credentialFor(t, h.authority, operator)
	conn := h.dial(t, identity.ClientTLS(c, identity.ID{TrustDomain: h.authority.TrustDomain()}))
	invoke(t, conn, "/nave.admin.v1.AdminService/GetVersion")
	got := expires(t, h.registry)
	for name, want := range map[string]time.Time{
		"server/": h.credential.NotAfter(), "authority/": h.authority.Certificate().NotAfter, "operator/eve": c.NotAfter(),
	} {
		if !got[name].Equal(want) {
			t.Errorf("%s expires at %v, want %v", name, got[name], want)
		}
	}
}

// TestExpirations_bounds: an operator with a new certificate has one series, one who cannot call any more has none, and
// not every name that calls is kept.
func TestExpirations_bounds(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	zero := func() time.Time { return time.Time{} }
	e := &expirations{server: zero, authority: zero, now: func() time.Time { return now },
		operators: map[string]time.Time{}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(e)
	saw := func(name string, life time.Duration) {
		e.saw(identity.Caller{ID: identity.ID{Role: identity.Operator, Name: name}, ExpiresAt: now.Add(life)})
	}
	saw("eve", 2*time.Hour)
	saw("eve", time.Hour)
	saw("old", time.Minute)
	if got := expires(t, registry); len(got) != 4 || !got["operator/eve"].Equal(now.Add(2*time.Hour)) {
		t.Errorf("got %v", got)
	}
	now = now.Add(10 * time.Minute)
	if got := expires(t, registry); len(got) != 3 {
		t.Errorf("after one has expired: %v", got)
	}
	for i := range 2 * maxOperators {
		saw(strconv.Itoa(i), time.Hour)
	}
	if got := expires(t, registry); len(got) != 2+maxOperators {
		t.Errorf("%d series", len(got))
	}
}
