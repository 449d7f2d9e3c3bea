package admin

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
)

// refusals are the objects that a change may not have, so that its error names all of them.
type refusals struct {
	first  *status.Status
	faults api.Faults
}

// refusing are the codes of errors about one object of a change.
var refusing = []codes.Code{codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound}

// note notes an error that says that one object may not be changed. place is that of the object in a file; "": it is of
// none. note returns any other error.
func (r *refusals) note(place string, err error) error {
	s, is := status.FromError(err)
	if !is || !slices.Contains(refusing, s.Code()) {
		return err
	}
	if r.first == nil {
		r.first = s
	}
	text := s.Message()
	if place != "" {
		text = place + ": " + text
	}
	r.faults.Add(text)
	return nil
}

// err returns the error about all objects, with the code and the details of the first one; nil: none was refused.
func (r *refusals) err() error {
	if r.first == nil {
		return nil
	}
	all := r.first.Proto()
	all.Message = r.faults.Err().Error()
	return status.FromProto(all).Err()
}
