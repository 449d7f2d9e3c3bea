package session

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// welcomeOf2 is the welcome of a hub of protocol 2.
func welcomeOf2(wants bool) *spokev1.SessionResponse {
	w := welcome()
	w.GetWelcome().Protocol, w.GetWelcome().WantsCapabilities = 2, wants
	return w
}

func serves(kinds ...string) *spokev1.Capabilities {
	return &spokev1.Capabilities{KubernetesVersion: "v1.37.2",
		GroupVersions: []*spokev1.GroupVersion{{Group: "apps", Version: "v1", Kinds: kinds}}}
}

// TestCapabilities sends them when the hub lacks them, and when they changed. A hub of protocol 1 gets none.
func TestCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		first       *spokev1.SessionResponse
		asks, hears bool
	}{
		"lacks_them": {welcomeOf2(true), true, true},
		"has_them":   {welcomeOf2(false), false, true},
		"protocol_1": {welcome(), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.first = c.first
			s := newSession(h, &drawer{}, nil)
			if err := s.Capabilities(serves("Deployment")); err != nil {
				t.Fatal(err)
			}
			run(t, s)
			hello := next(t, h.hellos, "hello")
			known, err := bundle.ReadFeatures(hello.GetFeatures())
			if err != nil || known != bundle.Known {
				t.Errorf("hello lists the features %v", hello.GetFeatures())
			}
			said := func() []byte {
				t.Helper()
				m := next(t, h.said, "message").GetCapabilities()
				return m
			}
			if c.asks {
				if data := said(); manifest.DigestOf(data) != manifest.Digest(hello.GetCapabilitiesDigest()) {
					t.Errorf("sent %q, which is not what hello named", data)
				}
			}
			if err := s.Capabilities(serves("DaemonSet")); err != nil {
				t.Fatal(err)
			}
			if c.hears {
				var m spokev1.Capabilities
				if err := proto.Unmarshal(said(), &m); err != nil || m.GetGroupVersions()[0].GetKinds()[0] != "DaemonSet" {
					t.Errorf("sent %v, %v", &m, err)
				}
			}
			s.Progress(id(1), bundle.Received)
			if m := next(t, h.said, "message"); m.GetAck() == nil {
				t.Errorf("sent %v besides", m)
			}
		})
	}
}

// TestCapabilitiesPace changes them as fast as a bundle does that installs many kinds: the hub hears of some, and of
// the latest within two minutes, and never so often that it ends the session.
func TestCapabilitiesPace(t *testing.T) {
	overLine(t, 0, func(t *testing.T, l *line, h *hub, s *Session, connected chan bool) {
		h.first = welcomeOf2(false)
		l.reset() // a session for this welcome
		for range 2 {
			<-connected
		}
		var last *spokev1.Capabilities
		for i := range 40 {
			last = serves(fmt.Sprint("Kind", i))
			if err := s.Capabilities(last); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(2 * time.Minute)
		times, heard := 0, &spokev1.Capabilities{}
		for len(h.said) > 0 {
			if data := (<-h.said).GetCapabilities(); data != nil {
				times++
				if err := proto.Unmarshal(data, heard); err != nil {
					t.Fatal(err)
				}
			}
		}
		if times < 2 || times > reporting.CapabilitiesBurst+2 || !proto.Equal(heard, last) {
			t.Errorf("sent %d times, last %v", times, heard)
		}
	})
}

// TestCapabilitiesFit cuts what an API server with very many kinds serves.
func TestCapabilitiesFit(t *testing.T) {
	s := newSession(&hub{authority: newHub(t).authority}, &drawer{}, nil)
	m := &spokev1.Capabilities{}
	for i := range 2000 {
		m.GroupVersions = append(m.GroupVersions,
			&spokev1.GroupVersion{Group: fmt.Sprintf("g%d.example.com", i), Version: "v1",
				Kinds: []string{"RatherLongNameOfAKind", "AnotherLongNameOfAKind"}})
	}
	if err := s.Capabilities(m); err != nil {
		t.Fatal(err)
	}
	var kept spokev1.Capabilities
	if err := proto.Unmarshal(s.served.data, &kept); err != nil || !kept.GetIncomplete() ||
		len(s.served.data) > reporting.MaxCapabilities || len(s.served.data) < reporting.MaxCapabilities*9/10 {
		t.Errorf("%d bytes, incomplete %v, %v", len(s.served.data), kept.GetIncomplete(), err)
	}
}

// TestHelloSize holds an unchanged reconnect to its limit: a hello names capabilities and does not bring them.
func TestHelloSize(t *testing.T) {
	h := newHub(t)
	h.first = welcomeOf2(false)
	s := newSession(h, &drawer{}, nil)
	if err := s.Capabilities(serves("Deployment")); err != nil {
		t.Fatal(err)
	}
	s.Progress(id(7), bundle.Healthy)
	run(t, s)
	if n := proto.Size(next(t, h.hellos, "hello")) + proto.Size(h.first); n > 512 {
		t.Errorf("hello and welcome have %d bytes", n)
	}
}

// TestProtocol1Report writes reports for a hub of protocol 1 as that hub reads them.
func TestProtocol1Report(t *testing.T) {
	r := &spokev1.ReportRequest{Removed: []*bundlev1.ApplicationName{{Kind: "Kustomization", Namespace: "a", Name: "b"}}}
	for name, c := range map[string]struct {
		first *spokev1.SessionResponse
		old   bool
	}{"protocol_1": {welcome(), true}, "protocol_2": {welcomeOf2(false), false}} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.first = c.first
			connected := make(chan bool, 1)
			s := newSession(h, &drawer{}, func(c *settings) { c.OnConnected = func(yes bool) { connected <- yes } })
			run(t, s)
			next(t, connected, "session")
			if err := s.Report(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			got := next(t, h.reports, "report")
			if old := len(got.GetRemovedV1()) == 1; old != c.old || len(got.GetRemoved()) == 1 == c.old {
				t.Errorf("reported %v", got)
			}
		})
	}
}
