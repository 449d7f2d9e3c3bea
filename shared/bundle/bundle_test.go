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
				Parent: owner("apps"), Drift: IgnoreDrift, KeepsObjects: true, ForceRequestedAt: "now", ResetRequestedAt: "then",
				TestRequestedAt: "later", PinnedRevision: 3},
		},
		Pending: []ApplicationName{owner("late"), owner("later")}, Incomplete: true,
		Removals: []Removal{{owner("gone"), WaitForTermination, true}, {owner("left"), Orphan, false}},
		Handovers: []Handover{
			{manifest.ID{Kind: "ConfigMap", Namespace: "prod", Name: "a"}, owner("late")},
			{manifest.ID{Group: "apps", Kind: "Deployment", Namespace: "prod", Name: "web"}, owner("infra")},
		},
	}
}

// exampleApplication is an application with every field set.
func exampleApplication() *Application {
	token := func(s string) string { return string(sealed.NewSalt([]byte("salt")).Placeholder(s, nil)) }
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
				{Placeholder: token("c"), Type: "bytes", Text: JSON},
			},
		}},
		HealthChecks: []ObjectIdentity{deployment}, DeletionPolicy: WaitForTermination,
		Substitution: &Substitution{
			Strict: true, Inline: map[string]string{"a": "b", "c": ""},
			Sources: []VariableSource{
				{Kind: "ConfigMap", Namespace: "flux-system", Name: "vars", Values: map[string]string{"x": "y"}},
				{Kind: "Secret", Namespace: "flux-system", Name: "live", Optional: true, Live: true},
			},
			Expressions: []Expression{{Placeholder: token("expression"), Text: "${x:-" + token("a") + "}"}},
		},
		HealthExpressions: []HealthExpressions{{Group: "example.com", Kind: "Claim", Current: "true", InProgress: "false",
			Failed: "false"}, {Group: "example.com", Current: "true"}},
		ReadyExpressions: []ReadyExpression{{Dependency: owner("infra"), Expression: "true", Dep: []byte("{}"),
			Self: []byte("{}")}},
		Ignore: []IgnoreRule{{Paths: []string{"/spec/replicas"}, Group: "apps", Version: "v1", Kind: "Deployment",
			Namespace: "prod", Name: "web-.*", LabelSelector: "hpa=yes", AnnotationSelector: "!keep"}},
		Release: exampleRelease(), Hooks: []Hook{{
			ObjectReference: ObjectReference{ObjectIdentity{Group: "batch", Version: "v1", Kind: "Job", Namespace: "prod",
				Name: "migrate"}, digest("job")},
			Path: "web/templates/job.yaml", Events: []string{PreInstall, PreUpgrade}, Weight: -5,
			DeletePolicies: []string{HookSucceeded}, OutputLogPolicies: []string{HookFailed},
		}},
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
	want := []manifest.Digest{digest("namespace"), digest("deployment"), digest("job"), digest("crd"),
		digest("file")}
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
		"unknown_field":               func(b *bundlev1.Bundle) { b.ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_entry":      func(b *bundlev1.Bundle) { b.Applications[1].ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_owner":      func(b *bundlev1.Bundle) { b.Applications[1].Name.ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_time":       func(b *bundlev1.Bundle) { b.IssuedAt.ProtoReflect().SetUnknown(unknownField) },
		"no_cluster":                  func(b *bundlev1.Bundle) { b.Cluster = "" },
		"huge_cluster":                func(b *bundlev1.Bundle) { b.Cluster = strings.Repeat("a", 3000) },
		"no_sequence":                 func(b *bundlev1.Bundle) { b.Sequence = 0 },
		"no_time_of_issue":            func(b *bundlev1.Bundle) { b.IssuedAt = nil },
		"no_expiry":                   func(b *bundlev1.Bundle) { b.ExpiresAt = nil },
		"expiry_before_its_issue":     func(b *bundlev1.Bundle) { b.ExpiresAt = timestamppb.New(issued.Add(-1)) },
		"malformed_time":              func(b *bundlev1.Bundle) { b.ExpiresAt.Nanos = -1 },
		"short_digest":                func(b *bundlev1.Bundle) { b.Applications[0].Digest = b.Applications[0].Digest[:31] },
		"long_digest":                 func(b *bundlev1.Bundle) { b.Applications[0].Digest = append(b.Applications[0].Digest, 0) },
		"digest_of_zeros":             func(b *bundlev1.Bundle) { b.Applications[0].Digest = make([]byte, 32) },
		"no_digest":                   func(b *bundlev1.Bundle) { b.Applications[0].Digest = nil },
		"no_owner":                    func(b *bundlev1.Bundle) { b.Applications[0].Name = nil },
		"owner_without_namespace":     func(b *bundlev1.Bundle) { b.Applications[0].Name.Namespace = "" },
		"owner_listed_twice":          func(b *bundlev1.Bundle) { b.Applications[0].Name = b.Applications[1].Name },
		"owners_out_of_order":         func(b *bundlev1.Bundle) { slices.Reverse(b.Applications) },
		"pending_owner_twice":         func(b *bundlev1.Bundle) { b.Pending[1] = b.Pending[0] },
		"pending_owners_out_of_order": func(b *bundlev1.Bundle) { slices.Reverse(b.Pending) },
		"pending_application":         func(b *bundlev1.Bundle) { b.Pending = []*bundlev1.ApplicationName{b.Applications[0].Name} },
		"removed_application":         func(b *bundlev1.Bundle) { b.Removals[0].Name = b.Applications[0].Name },
		"removed_pending_owner":       func(b *bundlev1.Bundle) { b.Removals = b.Removals[:1]; b.Removals[0].Name = b.Pending[1] },
		"removal_without_owner":       func(b *bundlev1.Bundle) { b.Removals[0].Name = nil },
		"removals_out_of_order":       func(b *bundlev1.Bundle) { slices.Reverse(b.Removals) },
		"unknown_deletion_policy":     func(b *bundlev1.Bundle) { b.Removals[0].DeletionPolicy = 99 },
		"empty_parent":                func(b *bundlev1.Bundle) { b.Applications[1].Parent = &bundlev1.ApplicationName{} },
		"half_parent":                 func(b *bundlev1.Bundle) { b.Applications[1].Parent.Namespace = "" },
		"own_parent":                  func(b *bundlev1.Bundle) { b.Applications[1].Parent = b.Applications[1].Name },
		"short_confirmed_prune":       func(b *bundlev1.Bundle) { b.Applications[1].ConfirmedPrune = []byte{1} },
		"entry_without_any_contents":  func(b *bundlev1.Bundle) { b.Applications[0] = &bundlev1.ApplicationEntry{} },
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
		"unknown_field":              func(a *bundlev1.Application) { a.ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_object":    func(a *bundlev1.Application) { a.Objects[1].Id.ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_value":     func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_keys":      func(a *bundlev1.Application) { a.Decryption.ProtoReflect().SetUnknown(unknownField) },
		"unknown_field_of_duration":  func(a *bundlev1.Application) { a.Timeout.ProtoReflect().SetUnknown(unknownField) },
		"unknown_deletion_policy":    func(a *bundlev1.Application) { a.DeletionPolicy = 99 },
		"unknown_format":             func(a *bundlev1.Application) { a.SealedFiles[0].Format = 99 },
		"no_format":                  func(a *bundlev1.Application) { a.SealedFiles[0].Format = 0 },
		"no_owner":                   func(a *bundlev1.Application) { a.Name = nil },
		"object_twice":               func(a *bundlev1.Application) { a.Objects = append(a.Objects, a.Objects[0]) },
		"object_in_two_versions":     func(a *bundlev1.Application) { a.Objects[0].Id = other(a.Objects[1].Id, "v2") },
		"object_without_identity":    func(a *bundlev1.Application) { a.Objects[0].Id = nil },
		"object_without_version":     func(a *bundlev1.Application) { a.Objects[0].Id.Version = "" },
		"object_with_short_digest":   func(a *bundlev1.Application) { a.Objects[0].Digest = []byte{1} },
		"object_with_digest_of_zero": func(a *bundlev1.Application) { a.Objects[0].Digest = make([]byte, 32) },
		"file_with_short_digest":     func(a *bundlev1.Application) { a.SealedFiles[0].Digest = nil },
		"file_with_digest_of_zero":   func(a *bundlev1.Application) { a.SealedFiles[0].Digest = make([]byte, 32) },
		"token_twice": func(a *bundlev1.Application) {
			a.SealedFiles[0].Values[1].Placeholder = a.SealedFiles[0].Values[0].Placeholder
		},
		"value_of_unknown_format":            func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Text = 99 },
		"malformed_token":                    func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Placeholder = "kube-system" },
		"value_of_unknown_type":              func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Type = "comment" },
		"document_beyond_counting":           func(a *bundlev1.Application) { a.SealedFiles[0].Values[1].Document = 1 << 31 },
		"dependency_without_name":            func(a *bundlev1.Application) { a.DependsOn[0].Name = "" },
		"health_check_without_kind":          func(a *bundlev1.Application) { a.HealthChecks[0].Kind = "" },
		"keys_without_namespace":             func(a *bundlev1.Application) { a.Decryption.Namespace = "" },
		"negative_timeout":                   func(a *bundlev1.Application) { a.Timeout = durationpb.New(-time.Second) },
		"duration_of_10_000_years":           func(a *bundlev1.Application) { a.Interval = &durationpb.Duration{Seconds: 315_000_000_000} },
		"ready_expression_of_a_stranger":     func(a *bundlev1.Application) { a.ReadyExpressions[0].Dependency.Name = "x" },
		"empty_ready_expression":             func(a *bundlev1.Application) { a.ReadyExpressions[0].Expression = "" },
		"health_expressions_without_current": func(a *bundlev1.Application) { a.HealthExpressions[0].Current = "" },
		"health_expressions_twice":           func(a *bundlev1.Application) { a.HealthExpressions[1].Kind = "Claim" },
		"malformed_duration": func(a *bundlev1.Application) {
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
	for name, h := range map[string]Handover{
		"no_object": {Object: manifest.ID{Kind: "ConfigMap"}, To: owner("late")},
		"no_owner":  {Object: manifest.ID{Kind: "ConfigMap", Name: "b"}},
		"twice":     example().Handovers[0],
	} {
		b = example()
		if b.Handovers = append(b.Handovers, h); name != "twice" {
			b.Handovers = b.Handovers[2:]
		}
		if _, err := b.Encode(); err == nil {
			t.Errorf("handover %s is encoded", name)
		}
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
