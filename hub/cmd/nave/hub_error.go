package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/operatorconfig"
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

// isAway reports whether a watch or a call ended because the hub went away, and may go on when it is back. A hub that
// refuses the certificate of the operator, or that is another one, will do so again.
func isAway(err error) bool {
	if errors.Is(err, io.EOF) {
		return true
	}
	text := statusOf(err).Message()
	return statusOf(err).Code() == codes.Unavailable && !(isUnreached(err) &&
		slices.ContainsFunc(lasting, func(part string) bool { return strings.Contains(text, part) }))
}

// lasting are parts of messages about connections that fail again.
var lasting = []string{"own certificate: ", "remote error: tls: ", "verify the hub: "}

// hubError is the error of a call that got no answer of a hub. It names the hub.
type hubError struct {
	error
	hub *operatorconfig.Context
}

// Unwrap returns the error of the call.
func (e hubError) Unwrap() error { return e.error }

// named adds the name of the hub to the error of a call that got no answer of a hub.
func (s *session) named(err error) error {
	if isUnreached(err) || isCutOff(err) || isOtherServer(err) || statusOf(err).Code() == codes.DeadlineExceeded {
		return hubError{err, s.operator}
	}
	return err
}

// causes are the advice about connections that could not be made, by a part of the message of gRPC or TLS. %s is the
// hub.
var causes = []struct{ part, advice string }{
	{"own certificate: ", "%s cannot be reached: "}, // the rest has the advice
	{"remote error: tls: ", "%s refuses the certificate of the operator: if the hub was set up anew, or the certificate " +
		"is over by the clock of the hub, make another with nave-hub operator-config: "},
	{"verify the hub: ", "the server at the address of %s is not the hub of the context: see whether the address is " +
		"right; if the hub was set up anew, make another context with nave-hub operator-config: "},
	{"does not look like a TLS handshake", "the server at the address of %s does not speak TLS, so it is not a hub: " +
		"correct the address (hub in the operator configuration): "},
	{"no such host", "the host of %s does not exist: correct the address (hub in the operator configuration): "},
	{"", "%s cannot be reached: see whether it runs, and whether the address of the context is right (hub in the " +
		"operator configuration): "},
}

// unreached returns the text about a connection that could not be made.
func unreached(hub, text string) string {
	i := slices.IndexFunc(causes, func(c struct{ part, advice string }) bool { return strings.Contains(text, c.part) })
	return fmt.Sprintf(causes[i].advice, hub) + text
}

// message returns the text of an error for people. Of a gRPC status it returns only the message.
func message(err error) string {
	s := statusOf(err)
	if s == nil {
		return err.Error()
	}
	text, hub := s.Message(), "the hub"
	called, isNamed := errors.AsType[hubError](err)
	if isNamed {
		hub = fmt.Sprintf("hub %s of context %s", oneLine(called.hub.Hub), oneLine(called.hub.Name))
	}
	switch {
	case isOtherServer(err):
		return "the server at the address of the context (hub in the operator configuration) is not a hub, or is a proxy " +
			"that does not pass gRPC on: " + text
	case isTooOld(err):
		return errTooOld("this command").Error() + ": " + text
	case isUnreached(err):
		return unreached(hub, text)
	case isCutOff(err):
		return "the connection to " + hub + " ended: see whether the hub runs, and try again: " + text
	case isNamed: // the time is over
		return hub + " did not answer in time: see whether it runs, and whether the address is right, or give it longer " +
			"with --timeout: " + text
	}
	return text
}
