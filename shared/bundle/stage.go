package bundle

import (
	"fmt"
	"slices"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// IDFrom returns the ID that a message holds; zero if the message is nil or all of its fields are zero. A malformed
// digest is an error.
func IDFrom(m *spokev1.BundleId) (id ID, err error) {
	id = ID{Epoch: m.GetEpoch(), Sequence: m.GetSequence()}
	if len(m.GetDigest()) == 0 && id == (ID{}) {
		return id, nil
	}
	if id.Digest, err = manifest.DigestFromBytes(m.GetDigest()); err != nil {
		return ID{}, fmt.Errorf("bundle id: %w", err)
	}
	return id, nil
}

// Message returns the ID as it is written on the wire. The zero ID, for none, has no digest.
func (id ID) Message() *spokev1.BundleId {
	m := &spokev1.BundleId{Epoch: id.Epoch, Sequence: id.Sequence}
	if !id.Digest.IsZero() {
		m.Digest = id.Digest[:]
	}
	return m
}

// Stage is how far a cluster has come with a bundle. A later stage is greater.
type Stage int

// The stages, in their order.
const (
	NoStage  Stage = iota // the spoke does not have the bundle
	Received              // verified and stored, with all its blobs
	Applied               // every application that can be applied is, every removal is carried out, and nothing fails
	Healthy               // every application is ready
)

var stages = [...]string{NoStage: "", Received: "received", Applied: "applied", Healthy: "healthy"}

// StageFrom returns the stage that an ack or a hello names; NoStage and false for a rejection, and for what this
// program does not know.
func StageFrom(s spokev1.AckStage) (stage Stage, known bool) {
	if stage = Stage(s); stage < NoStage || stage > Healthy { // the numbers are the same
		return NoStage, false
	}
	return stage, true
}

// Message returns the stage as it is written on the wire.
func (s Stage) Message() spokev1.AckStage { return spokev1.AckStage(s) }

// String returns the stage as people read it: received, applied, healthy; empty for NoStage.
func (s Stage) String() string { return stages[s] }

// MarshalText implements encoding.TextMarshaler: a stage is text in rows.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Stage) UnmarshalText(text []byte) error {
	stage := slices.Index(stages[:], string(text))
	if stage < 0 {
		return fmt.Errorf("%q is not a stage of a bundle", text)
	}
	*s = Stage(stage)
	return nil
}
