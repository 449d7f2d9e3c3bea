package dispatch

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
)

// invalid returns INVALID_ARGUMENT: the spoke must not send the message again as it is.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// showID returns the ID of a bundle for messages.
func showID(id bundle.ID) string { return fmt.Sprintf("%d.%d %s", id.Epoch, id.Sequence, id.Digest) }

// clean returns text of a spoke that is safe to store and to show, at most limit bytes.
func clean(s string, limit int) string { return telemetry.Printable(s, limit) }
