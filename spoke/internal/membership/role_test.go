package membership

import (
	"testing"

	"github.com/navefleet/nave/shared/identity"
)

// TestDecide decides who a spoke is.
func TestDecide(t *testing.T) {
	id := func(domain, name string) identity.ID {
		return identity.ID{TrustDomain: domain, Role: identity.Cluster, Name: name}
	}
	is := func(domain, name string) Kept {
		return Kept{known: true, id: id(domain, name),
			settings: &Settings{Hub: domain + ":7443", Cluster: name, TrustDomain: domain}}
	}
	bare := func(domain, name string) Kept { return Kept{known: true, id: id(domain, name)} } // of an earlier version
	prod := Settings{Hub: "one:7443", Cluster: "prod", TrustDomain: "one", Policy: "policy"}
	told := func(old string) Settings { s := prod; s.Replaces = old; return s }
	for name, tt := range map[string]struct {
		kept     Kept
		given    Settings
		hub      string
		is, next identity.ID
		confused bool
	}{
		"new":           {Kept{}, prod, "one:7443", id("one", "prod"), id("one", "prod"), false},
		"same":          {is("one", "prod"), prod, "one:7443", id("one", "prod"), id("one", "prod"), false},
		"moves":         {is("two", "prod"), prod, "two:7443", id("two", "prod"), id("one", "prod"), false},
		"moves_bare":    {bare("two", "prod"), prod, "one:7443", id("one", "prod"), id("one", "prod"), false},
		"other":         {is("one", "dev"), prod, "one:7443", id("one", "dev"), id("one", "dev"), true},
		"other_bare":    {bare("one", "dev"), prod, "one:7443", id("one", "dev"), id("one", "dev"), true},
		"other_hub_too": {is("two", "dev"), prod, "two:7443", id("two", "dev"), id("two", "dev"), true},
		"told":          {is("two", "dev"), told("dev"), "two:7443", id("two", "dev"), id("one", "prod"), false},
		"told_of_third": {is("one", "dev"), told("qa"), "one:7443", id("one", "dev"), id("one", "dev"), true},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.kept.Decide(tt.given)
			if got.ID() != tt.is || got.Next.ID() != tt.next || got.Hub != tt.hub || (got.Confused != nil) != tt.confused {
				t.Errorf("it is %s at %s, to be %s, %v; want %s at %s, to be %s", got.ID(), got.Hub, got.Next.ID(), got.Confused,
					tt.is, tt.hub, tt.next)
			}
			if got.Moves() != (tt.is != tt.next) || got.Policy != "policy" {
				t.Errorf("it moves: %v, with policy %q", got.Moves(), got.Policy)
			}
		})
	}
}
