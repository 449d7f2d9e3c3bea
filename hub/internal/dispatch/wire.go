package dispatch

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
)

// invalid is the refusal of a message that the spoke must not send again as it is.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// showID writes a bundle's name for people.
func showID(id bundle.ID) string { return fmt.Sprintf("%d.%d %s", id.Epoch, id.Sequence, id.Digest) }

// clean makes text of a spoke safe to store and to show.
func clean(s string, limit int) string { return telemetry.Printable(s, limit) }
