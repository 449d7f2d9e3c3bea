package bundle

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

var issued = time.Date(2026, 10, 1, 12, 0, 0, 5, time.UTC)

func digest(s string) manifest.Digest { return manifest.DigestOf([]byte(s)) }

func owner(name string) ApplicationName {
	return ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name}
}

// example is a bundle with every field set.
func example() *Bundle {
	return &Bundle{
		Cluster: "spiffe://nave-1/cluster/a", Epoch: 2, Sequence: 7, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		Applications: []Entry{
			{Name: owner("apps"), Digest: digest("apps"), Revision: "main@sha1:1", Suspended: true, RequestedAt: "now"},
			{Name: owner("infra"), Digest: digest("infra"), Revision: "main@sha1:1", ConfirmedPrune: digest("held"),
				Parent: owner("apps")},
		},
		Pending: []ApplicationName{owner("late"), owner("later")}, Incomplete: true,
		Removals: []Removal{{owner("gone"), WaitForTermination, true}, {owner("left"), Orphan, false}},
	}
}

// exampleApplication is an application with every field set.
func exampleApplication() *Application {
	token := func(s string) string { return string(sealed.New([]byte("salt"), s, nil)) }
	deployment := ObjectIdentity{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "prod", Name: "web"}
	return &Application{
		Name: owner("apps"),
		Objects: []ObjectReference{
			{ObjectIdentity{Version: "v1", Kind: "Namespace", Name: "prod"}, digest("namespace")},
			{deployment, digest("deployment")},
		},
		DependsOn: []ApplicationName{owner("infra")},
		Prune:     true, Wait: true, Force: true,
		Timeout: time.Minute, Interval: 10 * time.Minute, RetryInterval: time.Second + time.Millisecond,
		ServiceAccount: "deployer", Decryption: SecretReference{Namespace: "flux-system", Name: "sops-age"},
		SealedFiles: []SealedFile{{
			Path: "apps/secret.yaml", Digest: digest("file"), Format: YAML,
			Values: []SealedValue{
				{Placeholder: token("a"), Path: []string{"stringData", "a"}, Type: "str"},
				{Placeholder: token("b"), Document: 1, Path: []string{"list", "0"}, Type: "int"},
			},
		}},
		HealthChecks: []ObjectIdentity{deployment}, DeletionPolicy: WaitForTermination,
	}
}

func TestBundleRoundTrip(t *testing.T) {
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, example()) {
		t.Errorf("%+v, want %+v", got, example())
	}
}

func TestApplicationRoundTrip(t *testing.T) {
	for name, a := range map[string]*Application{"full": exampleApplication(),
		"bare": {Name: owner("a"), DeletionPolicy: MirrorPrune}} {
		data, err := a.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := DecodeApplication(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("%s: %+v, want %+v", name, got, a)
		}
	}
}

func TestEnumRoundTrip(t *testing.T) {
	for policy := range deletionPolicies {
		for format := range formats {
			a := exampleApplication()
			a.DeletionPolicy, a.SealedFiles[0].Format = policy, format
			data, err := a.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeApplication(data)
			if err != nil {
				t.Fatal(err)
			}
			if policy == "" {
				policy = MirrorPrune
			}
			if got.DeletionPolicy != policy || got.SealedFiles[0].Format != format {
				t.Errorf("%s %s became %s %s", policy, format, got.DeletionPolicy, got.SealedFiles[0].Format)
			}
		}
	}
}

func TestEqualBytes(t *testing.T) {
	want, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	shuffled := example()
	slices.Reverse(shuffled.Applications)
	slices.Reverse(shuffled.Pending)
	slices.Reverse(shuffled.Removals)
	got, err := shuffled.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the order of the applications changes the bytes")
	}
	if shuffled.Applications[0].Name != owner("infra") {
		t.Error("Encode sorted its receiver")
	}
}

func TestDigests(t *testing.T) {
	a := exampleApplication()
	a.Objects = append(a.Objects, ObjectReference{ObjectIdentity{Version: "v1", Kind: "Namespace", Name: "same"},
		digest("namespace")})
	want := []manifest.Digest{digest("namespace"), digest("deployment"), digest("file")}
	if got := a.Digests(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// wire returns the message of an example as its bytes say it, for tests to spoil.
func wire(t *testing.T) *bundlev1.Bundle {
	t.Helper()
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	m := new(bundlev1.Bundle)
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func wireApplication(t *testing.T) *bundlev1.Application {
	t.Helper()
	data, err := exampleApplication().Encode()
	if err != nil {
		t.Fatal(err)
	}
	m := new(bundlev1.Application)
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// unknownField is a field that no version has.
var unknownField = protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1)

func TestDecodeBundle(t *testing.T) {
	for name, spoil := range map[string]func(*bundlev1.Bundle){
		"an unknown field":              func(b *bundlev1.Bundle) { b.ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of an entry":  func(b *bundlev1.Bundle) { b.Applications[1].ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of an owner":  func(b *bundlev1.Bundle) { b.Applications[1].Name.ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of a time":    func(b *bundlev1.Bundle) { b.IssuedAt.ProtoReflect().SetUnknown(unknownField) },
		"no cluster":                    func(b *bundlev1.Bundle) { b.Cluster = "" },
		"a huge cluster":                func(b *bundlev1.Bundle) { b.Cluster = strings.Repeat("a", 3000) },
		"no sequence":                   func(b *bundlev1.Bundle) { b.Sequence = 0 },
		"no time of issue":              func(b *bundlev1.Bundle) { b.IssuedAt = nil },
		"no expiry":                     func(b *bundlev1.Bundle) { b.ExpiresAt = nil },
		"an expiry before its issue":    func(b *bundlev1.Bundle) { b.ExpiresAt = timestamppb.New(issued.Add(-1)) },
		"a time that is none":           func(b *bundlev1.Bundle) { b.ExpiresAt.Nanos = -1 },
		"a short digest":                func(b *bundlev1.Bundle) { b.Applications[0].Digest = b.Applications[0].Digest[:31] },
		"a long digest":                 func(b *bundlev1.Bundle) { b.Applications[0].Digest = append(b.Applications[0].Digest, 0) },
		"a digest of zeros":             func(b *bundlev1.Bundle) { b.Applications[0].Digest = make([]byte, 32) },
		"no digest":                     func(b *bundlev1.Bundle) { b.Applications[0].Digest = nil },
		"no owner":                      func(b *bundlev1.Bundle) { b.Applications[0].Name = nil },
		"an owner without a namespace":  func(b *bundlev1.Bundle) { b.Applications[0].Name.Namespace = "" },
		"an owner listed twice":         func(b *bundlev1.Bundle) { b.Applications[0].Name = b.Applications[1].Name },
		"owners that are out of order":  func(b *bundlev1.Bundle) { slices.Reverse(b.Applications) },
		"a pending owner twice":         func(b *bundlev1.Bundle) { b.Pending[1] = b.Pending[0] },
		"pending owners out of order":   func(b *bundlev1.Bundle) { slices.Reverse(b.Pending) },
		"a pending application":         func(b *bundlev1.Bundle) { b.Pending = []*bundlev1.ApplicationName{b.Applications[0].Name} },
		"a removed application":         func(b *bundlev1.Bundle) { b.Removals[0].Name = b.Applications[0].Name },
		"a removed pending owner":       func(b *bundlev1.Bundle) { b.Removals = b.Removals[:1]; b.Removals[0].Name = b.Pending[1] },
		"a removal without an owner":    func(b *bundlev1.Bundle) { b.Removals[0].Name = nil },
		"removals out of order":         func(b *bundlev1.Bundle) { slices.Reverse(b.Removals) },
		"an unknown deletion policy":    func(b *bundlev1.Bundle) { b.Removals[0].DeletionPolicy = 99 },
		"an empty parent":               func(b *bundlev1.Bundle) { b.Applications[1].Parent = &bundlev1.ApplicationName{} },
		"half a parent":                 func(b *bundlev1.Bundle) { b.Applications[1].Parent.Namespace = "" },
		"its own parent":                func(b *bundlev1.Bundle) { b.Applications[1].Parent = b.Applications[1].Name },
		"a short confirmed prune":       func(b *bundlev1.Bundle) { b.Applications[1].ConfirmedPrune = []byte{1} },
		"an entry without any contents": func(b *bundlev1.Bundle) { b.Applications[0] = &bundlev1.ApplicationEntry{} },
	} {
		t.Run(name, func(t *testing.T) {
			m := wire(t)
			spoil(m)
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := DecodeBundle(data); err == nil || b != nil {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
}

func TestDecodeApplication(t *testing.T) {
	for name, spoil := range map[string]func(*bundlev1.Application){
		"an unknown field":                func(a *bundlev1.Application) { a.ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of an object":   func(a *bundlev1.Application) { a.Objects[1].Id.ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of a value":     func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of the keys":    func(a *bundlev1.Application) { a.Decryption.ProtoReflect().SetUnknown(unknownField) },
		"an unknown field of a duration":  func(a *bundlev1.Application) { a.Timeout.ProtoReflect().SetUnknown(unknownField) },
		"an unknown deletion policy":      func(a *bundlev1.Application) { a.DeletionPolicy = 99 },
		"an unknown format":               func(a *bundlev1.Application) { a.SealedFiles[0].Format = 99 },
		"no format":                       func(a *bundlev1.Application) { a.SealedFiles[0].Format = 0 },
		"no owner":                        func(a *bundlev1.Application) { a.Name = nil },
		"an object twice":                 func(a *bundlev1.Application) { a.Objects = append(a.Objects, a.Objects[0]) },
		"an object in two versions":       func(a *bundlev1.Application) { a.Objects[0].Id = other(a.Objects[1].Id, "v2") },
		"an object without an identity":   func(a *bundlev1.Application) { a.Objects[0].Id = nil },
		"an object without a version":     func(a *bundlev1.Application) { a.Objects[0].Id.Version = "" },
		"an object with a short digest":   func(a *bundlev1.Application) { a.Objects[0].Digest = []byte{1} },
		"an object with a digest of zero": func(a *bundlev1.Application) { a.Objects[0].Digest = make([]byte, 32) },
		"a file with a short digest":      func(a *bundlev1.Application) { a.SealedFiles[0].Digest = nil },
		"a file with a digest of zero":    func(a *bundlev1.Application) { a.SealedFiles[0].Digest = make([]byte, 32) },
		"a token twice": func(a *bundlev1.Application) {
			a.SealedFiles[0].Values[1].Placeholder = a.SealedFiles[0].Values[0].Placeholder
		},
		"a token that is none":          func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Placeholder = "kube-system" },
		"a value of an unknown type":    func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Type = "comment" },
		"a document beyond counting":    func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Document = 1 << 31 },
		"a dependency without a name":   func(a *bundlev1.Application) { a.DependsOn[0].Name = "" },
		"a health check without a kind": func(a *bundlev1.Application) { a.HealthChecks[0].Kind = "" },
		"keys without a name":           func(a *bundlev1.Application) { a.Decryption.Name = "" },
		"a negative timeout":            func(a *bundlev1.Application) { a.Timeout = durationpb.New(-time.Second) },
		"a duration of 10,000 years":    func(a *bundlev1.Application) { a.Interval = &durationpb.Duration{Seconds: 315_000_000_000} },
		"a duration that is none": func(a *bundlev1.Application) {
			a.Interval = &durationpb.Duration{Seconds: 1,
				Nanos: -1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := wireApplication(t)
			spoil(m)
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := DecodeApplication(data); err == nil || a != nil {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func other(id *bundlev1.ObjectIdentity, version string) *bundlev1.ObjectIdentity {
	c := proto.CloneOf(id)
	c.Version = version
	return c
}

func TestDecodeTooLong(t *testing.T) {
	if _, err := DecodeBundle(make([]byte, MaxBundleBytes+1)); err == nil {
		t.Error("a bundle over the limit is read")
	}
	if _, err := DecodeApplication(make([]byte, MaxApplicationBytes+1)); err == nil {
		t.Error("an application over the limit is read")
	}
}

func TestEncodeRefuses(t *testing.T) {
	b := example()
	b.Applications = append(b.Applications, b.Applications[0])
	if _, err := b.Encode(); err == nil {
		t.Error("an owner listed twice is encoded")
	}
	b = example()
	b.Applications[0].Revision = strings.Repeat("x", MaxBundleBytes)
	if _, err := b.Encode(); err == nil {
		t.Error("a bundle over the limit is encoded")
	}
	a := exampleApplication()
	a.DeletionPolicy = "Forget"
	if _, err := a.Encode(); err == nil {
		t.Error("an unknown deletion policy is encoded")
	}
	a = exampleApplication()
	a.ServiceAccount = "\xff"
	if _, err := a.Encode(); err == nil {
		t.Error("text that is no UTF-8 is encoded")
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b ID
		want bool
	}{
		{ID{Epoch: 1, Sequence: 2}, ID{Epoch: 1, Sequence: 1}, true},
		{ID{Epoch: 1, Sequence: 1}, ID{Epoch: 1, Sequence: 1}, false},
		{ID{Epoch: 2, Sequence: 1}, ID{Epoch: 1, Sequence: 9}, true},
		{ID{Epoch: 1, Sequence: 9}, ID{Epoch: 2, Sequence: 1}, false},
	} {
		if got := c.a.Newer(c.b); got != c.want {
			t.Errorf("%v newer than %v: %v", c.a, c.b, got)
		}
	}
}

func FuzzDecodeBundle(f *testing.F) {
	data, err := example().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBundle(data)
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if back, err := DecodeBundle(again); err != nil || !reflect.DeepEqual(back, b) {
			t.Fatalf("%+v became %+v, %v", b, back, err)
		}
	})
}

func FuzzDecodeApplication(f *testing.F) {
	data, err := exampleApplication().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := DecodeApplication(data)
		if err != nil {
			return
		}
		again, err := a.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if back, err := DecodeApplication(again); err != nil || !reflect.DeepEqual(back, a) {
			t.Fatalf("%+v became %+v, %v", a, back, err)
		}
	})
}
