package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// statusOf returns the status of a call that failed, without the texts around it; nil if err is not the error of a
// call.
func statusOf(err error) *status.Status {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus()
	}
	return nil
}

// isTooOld reports whether the hub answered that it does not know a call.
func isTooOld(err error) bool {
	return statusOf(err).Code() == codes.Unimplemented && !isOtherServer(err)
}

// missingObject returns the key of the object that the hub does not have. For an error about something else, and for
// that of an older hub, missingObject returns nil.
func missingObject(err error) *adminv1.ObjectKey {
	for _, detail := range statusOf(err).Details() {
		if key, ok := detail.(*adminv1.ObjectKey); ok {
			return key
		}
	}
	return nil
}

// errTooOld is the error of a hub that does not know what a command needs.
func errTooOld(what string) error { return fmt.Errorf("the hub is too old for %s: upgrade it", what) }

// isOtherServer reports whether the answer to a call is not one of gRPC, such as the page of a proxy. gRPC gives its
// error the code that belongs to the status of HTTP: 404 becomes Unimplemented.
func isOtherServer(err error) bool {
	text := statusOf(err).Message()
	return slices.ContainsFunc(otherAnswers, func(start string) bool { return strings.HasPrefix(text, start) })
}

// otherAnswers begin gRPC's messages about an answer that is not one of gRPC.
var otherAnswers = []string{"unexpected HTTP status code received from server", "malformed header: missing HTTP"}

// isUnreached reports whether an error says that the hub could not be reached.
func isUnreached(err error) bool {
	s := statusOf(err)
	return s.Code() == codes.Unavailable && strings.HasPrefix(s.Message(), "connection error")
}

// isCutOff reports whether an error says that the connection to the hub ended in the middle of a call.
func isCutOff(err error) bool {
	s := statusOf(err)
	return s.Code() == codes.Unavailable &&
		slices.ContainsFunc(connectionEnds, func(start string) bool { return strings.HasPrefix(s.Message(), start) })
}

// connectionEnds begin gRPC's messages about a connection that ended in the middle of a call.
var connectionEnds = []string{"error reading from server", "closing transport", "closing connection",
	"transport is closing", "keepalive ping failed", "the connection is draining", "the stream is rejected"}

// message returns the text of an error for people. Of a gRPC status it returns only the message.
func message(err error) string {
	s := statusOf(err)
	if s == nil {
		return err.Error()
	}
	text := s.Message()
	switch {
	case isOtherServer(err):
		return "the server at the address of the context (hub in the operator configuration) is not a hub, or is a proxy " +
			"that does not pass gRPC on: " + text
	case isTooOld(err):
		return errTooOld("this command").Error() + ": " + text
	case isUnreached(err):
		return "the hub cannot be reached: see whether it runs, and whether the address of the context is right (hub in " +
			"the operator configuration): " + text
	case isCutOff(err):
		return "the connection to the hub ended: see whether the hub runs, and try again: " + text
	}
	return text
}
