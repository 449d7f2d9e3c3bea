package bundle

import (
	"reflect"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

func examplePreview() *Preview {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	entry := func(name string) Entry {
		return Entry{Name: ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name},
			Digest: manifest.DigestOf([]byte(name))}
	}
	sealed := entry("b")
	sealed.Features = sealedFiles
	return &Preview{Cluster: "spiffe://nave/cluster/east", IssuedAt: now, ExpiresAt: now.Add(time.Minute),
		Applications: []Entry{entry("a"), sealed}}
}

func TestPreview(t *testing.T) {
	want := examplePreview()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodePreview(data); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became %+v, error %v", want, got, err)
	}
	if got := want.Features(); got != previews+","+sealedFiles {
		t.Errorf("features %s", got)
	}
	for name, change := range map[string]func(p *Preview){
		"no_cluster":      func(p *Preview) { p.Cluster = "" },
		"no_time":         func(p *Preview) { p.ExpiresAt = p.IssuedAt },
		"no_applications": func(p *Preview) { p.Applications = nil },
		"too_many":        func(p *Preview) { p.Applications = make([]Entry, MaxPreviewApplications+1) },
		"twice":           func(p *Preview) { p.Applications[1] = p.Applications[0] },
		"no_digest":       func(p *Preview) { p.Applications[0].Digest = manifest.Digest{} },
		"confirmed_prune": func(p *Preview) { p.Applications[0].ConfirmedPrune = p.Applications[0].Digest },
		"suspended":       func(p *Preview) { p.Applications[0].Suspended = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := examplePreview()
			change(p)
			if _, err := p.Encode(); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := DecodeBundle(data); err == nil {
		t.Error("a preview is read as a bundle")
	}
}

func FuzzDecodePreview(f *testing.F) {
	data, err := examplePreview().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePreview(data)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if back, err := DecodePreview(again); err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%+v became %+v, %v", p, back, err)
		}
	})
}
