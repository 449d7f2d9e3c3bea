package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// Encode returns the bytes of nave.bundle.v1.Bundle. Equal bundles have equal bytes, whatever the order of their
// applications. Encode does not change b. If DecodeBundle would not accept the bytes, Encode returns an error, which
// wraps a *TooLargeError if the bundle is over its limit.
func (b *Bundle) Encode() ([]byte, error) {
	sorted := *b
	sorted.Applications = slices.SortedFunc(slices.Values(b.Applications),
		func(a, b Entry) int { return a.Name.Compare(b.Name) })
	sorted.Pending = slices.SortedFunc(slices.Values(b.Pending), ApplicationName.Compare)
	sorted.Removals = slices.SortedFunc(slices.Values(b.Removals),
		func(a, b Removal) int { return a.Name.Compare(b.Name) })
	sorted.Handovers = slices.SortedFunc(slices.Values(b.Handovers), CompareHandovers)
	sorted.Questions = slices.SortedFunc(slices.Values(b.Questions), CompareQuestions)
	if err := sorted.check(); err != nil {
		return nil, fmt.Errorf("encode bundle: %w", err)
	}
	m := sorted.message()
	if err := fitsBundle(m); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return marshal("bundle", m, MaxBundleBytes)
}

// Encode returns the bytes of nave.bundle.v1.Application. If DecodeApplication would not accept the bytes, Encode
// returns an error, which wraps a *TooLargeError if the application is over its limit.
func (a *Application) Encode() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("encode application %s: %w", a.Name, err)
	}
	return marshal("application "+a.Name.String(), a.message(), MaxApplicationBytes)
}

// Digests returns the digests of the objects, hooks, definitions and sealed files of the application, each once.
func (a *Application) Digests() []manifest.Digest {
	digests := make([]manifest.Digest, 0, len(a.Objects)+len(a.SealedFiles))
	for _, o := range a.Objects {
		digests = append(digests, o.Digest)
	}
	for _, h := range a.Hooks {
		digests = append(digests, h.Digest)
	}
	if a.Release != nil {
		for _, o := range a.Release.CRDs {
			digests = append(digests, o.Digest)
		}
	}
	for _, f := range a.SealedFiles {
		digests = append(digests, f.Digest)
	}
	seen := make(map[manifest.Digest]bool, len(digests))
	return slices.DeleteFunc(digests, func(d manifest.Digest) bool {
		again := seen[d]
		seen[d] = true
		return again
	})
}

// Compare orders names by kind, namespace and name.
func (o ApplicationName) Compare(other ApplicationName) int {
	return cmp.Or(
		cmp.Compare(o.Kind, other.Kind),
		cmp.Compare(o.Namespace, other.Namespace),
		cmp.Compare(o.Name, other.Name),
	)
}

// marshal returns the bytes of a message. If they are over the limit, the error wraps a *TooLargeError.
func marshal(what string, m proto.Message, limit int) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if err := fits(what, "bytes", len(data), limit); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return data, nil
}

func (b *Bundle) message() *bundlev1.Bundle {
	return &bundlev1.Bundle{
		Cluster:      b.Cluster,
		Epoch:        b.Epoch,
		Sequence:     b.Sequence,
		IssuedAt:     timestamppb.New(b.IssuedAt),
		ExpiresAt:    timestamppb.New(b.ExpiresAt),
		Incomplete:   b.Incomplete,
		Applications: convert(b.Applications, Entry.message),
		Pending:      convert(b.Pending, ApplicationName.Message),
		Removals:     convert(b.Removals, Removal.message),
		Handovers:    convert(b.Handovers, Handover.message),
		Questions:    convert(b.Questions, ShapeQuestion.message),
		SpokeImage:   b.SpokeImage,
	}
}

// convert returns the results of fn for the items of a list; nil if there are none.
func convert[From, To any](list []From, fn func(From) To) (all []To) {
	for _, item := range list {
		all = append(all, fn(item))
	}
	return all
}

func (r Removal) message() *bundlev1.Removal {
	return &bundlev1.Removal{
		Name: r.Name.Message(), DeletionPolicy: deletionPolicies[r.Policy], Confirmed: r.Confirmed,
	}
}

func (e Entry) message() *bundlev1.ApplicationEntry {
	m := &bundlev1.ApplicationEntry{
		Name:        e.Name.Message(),
		Digest:      e.Digest[:],
		Revision:    e.Revision,
		Suspended:   e.Suspended,
		RequestedAt: e.RequestedAt,
		Features:    e.Features.Names(),
		Drift:       driftModes[e.Drift],

		KeepsObjects: e.KeepsObjects, ForceRequestedAt: e.ForceRequestedAt, ResetRequestedAt: e.ResetRequestedAt,
		TestRequestedAt: e.TestRequestedAt, PinnedRevision: e.PinnedRevision,
	}
	if !e.ConfirmedPrune.IsZero() {
		m.ConfirmedPrune = e.ConfirmedPrune[:]
	}
	if e.Parent != (ApplicationName{}) {
		m.Parent = e.Parent.Message()
	}
	return m
}

// Message returns the name as it is written on the wire.
func (o ApplicationName) Message() *bundlev1.ApplicationName {
	return &bundlev1.ApplicationName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

func (a *Application) message() *bundlev1.Application {
	m := &bundlev1.Application{
		Name:              a.Name.Message(),
		Prune:             a.Prune,
		Wait:              a.Wait,
		Force:             a.Force,
		Timeout:           duration(a.Timeout),
		Interval:          duration(a.Interval),
		RetryInterval:     duration(a.RetryInterval),
		ServiceAccount:    a.ServiceAccount,
		DeletionPolicy:    deletionPolicies[a.DeletionPolicy],
		Objects:           convert(a.Objects, ObjectReference.message),
		DependsOn:         convert(a.DependsOn, ApplicationName.Message),
		SealedFiles:       convert(a.SealedFiles, SealedFile.message),
		HealthChecks:      convert(a.HealthChecks, ObjectIdentity.Message),
		Substitution:      a.Substitution.message(),
		ReadyExpressions:  convert(a.ReadyExpressions, ReadyExpression.message),
		Ignore:            convert(a.Ignore, IgnoreRule.message),
		HealthExpressions: convert(a.HealthExpressions, HealthExpressions.message),
		Hooks:             convert(a.Hooks, Hook.message),
		Release:           a.Release.message(),
		ValueSources:      convert(a.ValueSources, ValueSource.message),
	}
	if a.Decryption != (SecretReference{}) {
		m.Decryption = &bundlev1.DecryptionKeys{Namespace: a.Decryption.Namespace, Name: a.Decryption.Name}
	}
	return m
}

func (o ObjectReference) message() *bundlev1.ObjectReference {
	return &bundlev1.ObjectReference{Id: o.ObjectIdentity.Message(), Digest: o.Digest[:]}
}

func (e ReadyExpression) message() *bundlev1.ReadyExpression {
	return &bundlev1.ReadyExpression{
		Dependency: e.Dependency.Message(), Expression: e.Expression, Dep: e.Dep, Self: e.Self,
	}
}

func (e HealthExpressions) message() *bundlev1.HealthExpressions {
	return &bundlev1.HealthExpressions{
		Group: e.Group, Kind: e.Kind, Current: e.Current, InProgress: e.InProgress, Failed: e.Failed,
	}
}

// Message returns the identity as it is written on the wire.
func (o ObjectIdentity) Message() *bundlev1.ObjectIdentity {
	return &bundlev1.ObjectIdentity{Group: o.Group, Version: o.Version, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

func (f SealedFile) message() *bundlev1.SealedFile {
	m := &bundlev1.SealedFile{Path: f.Path, Digest: f.Digest[:], Format: formats[f.Format]}
	for _, v := range f.Values {
		m.Values = append(m.Values, &bundlev1.SealedValue{
			Placeholder: v.Placeholder, Document: uint32(v.Document), Path: v.Path, Type: v.Type, Text: formats[v.Text],
		})
	}
	return m
}

// duration returns the message of a duration; nil for zero.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// deletionPolicies and formats are the words on the wire. An application that names no policy mirrors prune.
var (
	deletionPolicies = map[DeletionPolicy]bundlev1.DeletionPolicy{
		"":                 bundlev1.DeletionPolicy_DELETION_POLICY_MIRROR_PRUNE,
		MirrorPrune:        bundlev1.DeletionPolicy_DELETION_POLICY_MIRROR_PRUNE,
		Delete:             bundlev1.DeletionPolicy_DELETION_POLICY_DELETE,
		WaitForTermination: bundlev1.DeletionPolicy_DELETION_POLICY_WAIT_FOR_TERMINATION,
		Orphan:             bundlev1.DeletionPolicy_DELETION_POLICY_ORPHAN,
	}
	formats = map[Format]bundlev1.SealedFormat{
		YAML:   bundlev1.SealedFormat_SEALED_FORMAT_YAML,
		JSON:   bundlev1.SealedFormat_SEALED_FORMAT_JSON,
		Dotenv: bundlev1.SealedFormat_SEALED_FORMAT_DOTENV,
		INI:    bundlev1.SealedFormat_SEALED_FORMAT_INI,
		Binary: bundlev1.SealedFormat_SEALED_FORMAT_BINARY,
	}
)
