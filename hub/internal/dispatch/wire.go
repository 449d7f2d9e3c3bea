package dispatch

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// invalid is the refusal of a message that the spoke must not send again as it is.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// readID reads a bundle's name from the wire; all zero and absent both mean "none".
func readID(p *spokev1.BundleId) (bundle.ID, error) {
	id := bundle.ID{Epoch: p.GetEpoch(), Sequence: p.GetSequence()}
	if len(p.GetDigest()) == 0 && id == (bundle.ID{}) {
		return id, nil
	}
	var err error
	if id.Digest, err = manifest.DigestFromBytes(p.GetDigest()); err != nil {
		return bundle.ID{}, invalid("bundle id: %v", err)
	}
	return id, nil
}

func writeID(id bundle.ID) *spokev1.BundleId {
	return &spokev1.BundleId{Epoch: id.Epoch, Sequence: id.Sequence, Digest: id.Digest[:]}
}

// showID writes a bundle's name for people.
func showID(id bundle.ID) string { return fmt.Sprintf("%d.%d %s", id.Epoch, id.Sequence, id.Digest) }

// clean makes text of a spoke safe to store and to show.
func clean(s string, limit int) string { return telemetry.Printable(s, limit) }
