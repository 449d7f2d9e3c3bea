package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// DecodeBundle returns the bundle of bytes from Encode. If the bytes hold a field that this program does not know, at
// any depth, DecodeBundle returns an error, because the spoke would carry out a part of what was signed. Other errors:
// malformed digests; names that are incomplete, out of order or listed twice; a missing cluster, sequence or time.
func DecodeBundle(data []byte) (*Bundle, error) {
	b, err := decodeBundle(data)
	if err != nil {
		return nil, fmt.Errorf("decode bundle: %w", err)
	}
	return b, nil
}

// DecodeApplication returns the application of bytes from Encode. It is as strict as DecodeBundle.
func DecodeApplication(data []byte) (*Application, error) {
	a, err := decodeApplication(data)
	if err != nil {
		return nil, fmt.Errorf("decode application: %w", err)
	}
	return a, nil
}

func decodeBundle(data []byte) (*Bundle, error) {
	m := new(bundlev1.Bundle)
	if err := unmarshal(data, m, MaxBundleBytes); err != nil {
		return nil, err
	}
	issued, err := timeOf(m.GetIssuedAt())
	if err != nil {
		return nil, fmt.Errorf("issued at: %w", err)
	}
	expires, err := timeOf(m.GetExpiresAt())
	if err != nil {
		return nil, fmt.Errorf("expires at: %w", err)
	}
	b := &Bundle{
		Cluster: m.GetCluster(), Epoch: m.GetEpoch(), Sequence: m.GetSequence(), IssuedAt: issued, ExpiresAt: expires,
		Incomplete: m.GetIncomplete(), Pending: convert(m.GetPending(), NameFrom),
		Removals: convert(m.GetRemovals(), removalOf), Handovers: convert(m.GetHandovers(), handoverOf),
		SpokeImage: m.GetSpokeImage(),
	}
	for i, e := range m.GetApplications() {
		entry, err := entryOf(e)
		if err != nil {
			return nil, fmt.Errorf("applications[%d]: %w", i, err)
		}
		b.Applications = append(b.Applications, entry)
	}
	if b.Questions, err = convertAll("questions", m.GetQuestions(), questionOf); err != nil {
		return nil, err
	}
	return b, b.check()
}

func removalOf(m *bundlev1.Removal) Removal {
	return Removal{Name: NameFrom(m.GetName()), Policy: policyOf(m.GetDeletionPolicy()), Confirmed: m.GetConfirmed()}
}

func entryOf(m *bundlev1.ApplicationEntry) (e Entry, err error) {
	e = Entry{
		Name: NameFrom(m.GetName()), Revision: m.GetRevision(), Suspended: m.GetSuspended(), RequestedAt: m.GetRequestedAt(),
		Drift: wordOf(driftModes, m.GetDrift()), KeepsObjects: m.GetKeepsObjects(),
		ForceRequestedAt: m.GetForceRequestedAt(), ResetRequestedAt: m.GetResetRequestedAt(),
		TestRequestedAt: m.GetTestRequestedAt(), PinnedRevision: m.GetPinnedRevision(),
	}
	if e.Digest, err = manifest.DigestFromBytes(m.GetDigest()); err != nil {
		return e, err
	}
	if m.GetParent() != nil {
		if e.Parent = NameFrom(m.GetParent()); e.Parent == (ApplicationName{}) {
			return e, errors.New("an empty parent")
		}
	}
	if len(m.GetConfirmedPrune()) > 0 {
		e.ConfirmedPrune, err = manifest.DigestFromBytes(m.GetConfirmedPrune())
	}
	if err == nil {
		e.Features, err = ReadFeatures(m.GetFeatures())
	}
	return e, err
}

func decodeApplication(data []byte) (*Application, error) {
	m := new(bundlev1.Application)
	if err := unmarshal(data, m, MaxApplicationBytes); err != nil {
		return nil, err
	}
	a := &Application{
		Name:              NameFrom(m.GetName()),
		Prune:             m.GetPrune(),
		Wait:              m.GetWait(),
		Force:             m.GetForce(),
		ServiceAccount:    m.GetServiceAccount(),
		DeletionPolicy:    policyOf(m.GetDeletionPolicy()),
		Decryption:        SecretReference{Namespace: m.GetDecryption().GetNamespace(), Name: m.GetDecryption().GetName()},
		Substitution:      substitutionOf(m.GetSubstitution()),
		DependsOn:         convert(m.GetDependsOn(), NameFrom),
		HealthChecks:      convert(m.GetHealthChecks(), ObjectFrom),
		ReadyExpressions:  convert(m.GetReadyExpressions(), readyExpressionOf),
		HealthExpressions: convert(m.GetHealthExpressions(), healthExpressionsOf),
		Ignore:            convert(m.GetIgnore(), ignoreRuleOf),
	}
	if err := errors.Join(a.decodeDurations(m), a.decodeObjects(m), a.decodeSealed(m), a.decodeRelease(m)); err != nil {
		return nil, err
	}
	var err error
	if a.ValueSources, err = convertAll("value sources", m.GetValueSources(), sourceOf); err != nil {
		return nil, err
	}
	return a, a.check()
}

func readyExpressionOf(m *bundlev1.ReadyExpression) ReadyExpression {
	return ReadyExpression{
		Dependency: NameFrom(m.GetDependency()), Expression: m.GetExpression(), Dep: m.GetDep(), Self: m.GetSelf(),
	}
}

func healthExpressionsOf(m *bundlev1.HealthExpressions) HealthExpressions {
	return HealthExpressions{
		Group: m.GetGroup(), Kind: m.GetKind(), Current: m.GetCurrent(), InProgress: m.GetInProgress(),
		Failed: m.GetFailed(),
	}
}

func (a *Application) decodeDurations(m *bundlev1.Application) error {
	return cmp.Or(decodeDuration(&a.Timeout, m.GetTimeout()), decodeDuration(&a.Interval, m.GetInterval()),
		decodeDuration(&a.RetryInterval, m.GetRetryInterval()))
}

// decodeDuration sets a duration unless the message has none.
func decodeDuration(to *time.Duration, m *durationpb.Duration) error {
	if m == nil {
		return nil
	}
	if err := m.CheckValid(); err != nil {
		return err
	}
	if *to = m.AsDuration(); !proto.Equal(durationpb.New(*to), m) {
		return fmt.Errorf("a duration of %d s", m.GetSeconds()) // beyond what time.Duration holds: 292 years
	}
	return nil
}

func (a *Application) decodeObjects(m *bundlev1.Application) error {
	for i, o := range m.GetObjects() {
		reference, err := referenceOf(o)
		if err != nil {
			return fmt.Errorf("objects[%d]: %w", i, err)
		}
		a.Objects = append(a.Objects, reference)
	}
	return nil
}

func referenceOf(m *bundlev1.ObjectReference) (ObjectReference, error) {
	digest, err := manifest.DigestFromBytes(m.GetDigest())
	return ObjectReference{ObjectIdentity: ObjectFrom(m.GetId()), Digest: digest}, err
}

func (a *Application) decodeSealed(m *bundlev1.Application) error {
	for _, f := range m.GetSealedFiles() {
		digest, err := manifest.DigestFromBytes(f.GetDigest())
		if err != nil {
			return fmt.Errorf("sealed file %s: %w", f.GetPath(), err)
		}
		file := SealedFile{Path: f.GetPath(), Digest: digest, Format: wordOf(formats, f.GetFormat())}
		for _, v := range f.GetValues() {
			if v.GetText() != 0 && wordOf(formats, v.GetText()) == "" {
				return fmt.Errorf("sealed file %s: text of format %d is not known", f.GetPath(), v.GetText())
			}
			file.Values = append(file.Values, SealedValue{
				Placeholder: v.GetPlaceholder(), Document: int(v.GetDocument()), Path: v.GetPath(), Type: v.GetType(),
				Text: wordOf(formats, v.GetText()),
			})
		}
		a.SealedFiles = append(a.SealedFiles, file)
	}
	return nil
}

// unmarshal reads a message. If it is over the limit, or holds a field that this program does not know, unmarshal
// returns an error.
func unmarshal(data []byte, m proto.Message, limit int) error {
	if len(data) > limit {
		return fmt.Errorf("%d bytes: more than %d", len(data), limit)
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	return refuseUnknown(m.ProtoReflect())
}

// refuseUnknown returns an error if a message, at any depth, holds a field or a value of an enum that this program does
// not know.
func refuseUnknown(m protoreflect.Message) (err error) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		return fmt.Errorf("%s has fields that this version does not know: upgrade it", m.Descriptor().FullName())
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.IsMap() { // of texts, in all our messages
			return true
		}
		if field.IsList() {
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = refuseUnknownValue(field, value.List().Get(i))
			}
		} else {
			err = refuseUnknownValue(field, value)
		}
		return err == nil
	})
	return err
}

// refuseUnknownValue is refuseUnknown for one value of a field.
func refuseUnknownValue(field protoreflect.FieldDescriptor, value protoreflect.Value) error {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return refuseUnknown(value.Message())
	case protoreflect.EnumKind:
		if field.Enum().Values().ByNumber(value.Enum()) == nil {
			return fmt.Errorf("%s is %d, which this version does not know: upgrade it", field.FullName(), value.Enum())
		}
	}
	return nil
}

// timeOf returns a time. A missing time is an error.
func timeOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, errors.New("missing")
	}
	return t.AsTime(), t.CheckValid()
}

// NameFrom returns the name that a message holds; zero for nil. Nothing of it is checked.
func NameFrom(o *bundlev1.ApplicationName) ApplicationName {
	return ApplicationName{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// ObjectFrom returns the identity that a message holds; zero for nil. Nothing of it is checked.
func ObjectFrom(o *bundlev1.ObjectIdentity) ObjectIdentity {
	return ObjectIdentity{Group: o.GetGroup(), Version: o.GetVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(),
		Name: o.GetName()}
}

// policyOf returns the policy of a value on the wire; MirrorPrune if none is specified.
func policyOf(p bundlev1.DeletionPolicy) DeletionPolicy {
	return cmp.Or(wordOf(deletionPolicies, p), MirrorPrune)
}

// wordOf returns the word of a value on the wire; empty if there is none.
func wordOf[W ~string, V comparable](words map[W]V, value V) W {
	for word, v := range words {
		if v == value && word != "" {
			return word
		}
	}
	return ""
}
