package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/shared/telemetry"
)

// Reason is why a request failed, as far as the spoke's decisions depend on it.
type Reason string

// The reasons.
const (
	NotFound  Reason = "NotFound"  // the object, or the namespace it would be in
	NoMatch   Reason = "NoMatch"   // the API does not serve the kind
	Invalid   Reason = "Invalid"   // the object breaks the schema or a rule of the API server
	Immutable Reason = "Immutable" // as Invalid, and only because fields changed that cannot change
	// Conflict: the object changed meanwhile, a precondition does not hold, or a field has another owner.
	Conflict     Reason = "Conflict"
	Forbidden    Reason = "Forbidden"    // RBAC
	Denied       Reason = "Denied"       // refused by an admission webhook or policy
	Unauthorized Reason = "Unauthorized" // the API server does not know us
	Terminating  Reason = "Terminating"  // the namespace is being deleted
	Exists       Reason = "Exists"       // already there
	Expired      Reason = "Expired"      // the resourceVersion is too old: list again
	Unavailable  Reason = "Unavailable"  // overload, time-out or fault on the server's side
	Unreachable  Reason = "Unreachable"  // no answer from the API server
	Canceled     Reason = "Canceled"     // the caller's context ended
	Other        Reason = "Other"
)

// Error is a failed request. Message may quote the object, so redact it before it leaves the spoke.
type Error struct {
	Op      string // apply, create, get, list, delete, watch, adopt, discover
	Object  string // the object of the request, as manifest.ID prints it
	Reason  Reason
	Message string               // the API server's, or the network's, whole
	Causes  []metav1.StatusCause // of Invalid and Conflict, if the API server names them
	Code    int                  // HTTP status; 0 if there was no answer

	page bool // Message is no Status of an API server but a page, as proxies send them
	err  error
}

// Error returns "apply Deployment.apps shop/web: <the API server's message>", of bounded length.
func (e *Error) Error() string { return e.Op + " " + e.Object + ": " + e.shown(e.Message) }

// How much of an answer is shown. The answers of webhooks and proxies may have any length.
const (
	maxMessage = 4 << 10 // bytes
	maxPage    = 200     // bytes of an answer that is no Status
	maxCauses  = 32
)

// shown returns a message cut to the length that is shown. Cutting comes after redaction, which finds whole values
// only.
func (e *Error) shown(message string) string {
	if e.page {
		return fmt.Sprintf("HTTP %d: %s", e.Code, telemetry.Line(message, maxPage))
	}
	return telemetry.Printable(message, maxMessage)
}

// Unwrap returns the network's or the context's error; nil if there is none.
func (e *Error) Unwrap() error { return e.err }

// Redacted returns the error with redact applied to the whole answer of the API server. With bare, for objects that are
// secret as a whole, every text that may quote values is left out; the fields and the kinds of their faults remain.
func (e *Error) Redacted(redact func(string) string, bare bool) *Error {
	c := *e
	if c.Reason != Canceled {
		c.err = nil // its text may repeat the message
	}
	c.Causes = make([]metav1.StatusCause, min(len(e.Causes), maxCauses))
	for i, cause := range e.Causes[:len(c.Causes)] {
		c.Causes[i] = metav1.StatusCause{Type: metav1.CauseType(redact(string(cause.Type))), Field: redact(cause.Field),
			Message: redact(cause.Message)}
		if bare {
			c.Causes[i].Message = ""
		}
	}
	c.Message, c.page = e.shown(redact(e.Message)), false
	if bare && (c.Reason == Invalid || c.Reason == Immutable) {
		c.Message = c.bareMessage()
	}
	return &c
}

func (e *Error) bareMessage() string {
	if len(e.Causes) == 0 {
		return "the API server finds it invalid (the details are left out, since they may quote a secret value)"
	}
	faults := make([]string, len(e.Causes))
	for i, c := range e.Causes {
		faults[i] = c.Field + ": " + string(c.Type)
	}
	return "the API server finds it invalid: " + strings.Join(faults, ", ")
}

// ReasonOf returns the reason in err's tree, Other when err is of another kind, and "" for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Other
}

// Retryable reports whether the failed request of err may well succeed in a moment, without a change of the desired
// object. An error that is not retryable can still heal from outside (an RBAC rule, a webhook), so the request is
// repeated at the retry interval.
func Retryable(err error) bool {
	switch ReasonOf(err) {
	case NotFound, NoMatch, Conflict, Terminating, Expired, Unavailable, Unreachable, Canceled:
		return true
	}
	return false
}

// Uncertain reports whether the failed request of err may have been carried out all the same.
func Uncertain(err error) bool {
	switch ReasonOf(err) {
	case Unavailable, Unreachable, Canceled:
		return true
	}
	return false
}

// refusal returns the error of an API server's answer.
func refusal(op, object string, code int, body []byte) *Error {
	e := &Error{Op: op, Object: object, Code: code}
	var s metav1.Status
	if json.Unmarshal(body, &s) != nil || s.Kind != "Status" {
		s, e.page = metav1.Status{Message: string(body)}, true
	}
	if s.Details == nil {
		s.Details = &metav1.StatusDetails{}
	}
	e.Message, e.Causes, e.Reason = s.Message, s.Details.Causes, classify(code, &s)
	return e
}

// reasonByCode holds the reasons of the codes that have one meaning.
var reasonByCode = map[int]Reason{
	http.StatusBadRequest:            Invalid,
	http.StatusUnauthorized:          Unauthorized,
	http.StatusForbidden:             Forbidden,
	http.StatusNotFound:              NotFound,
	http.StatusMethodNotAllowed:      Invalid,
	http.StatusNotAcceptable:         Invalid,
	http.StatusConflict:              Conflict,
	http.StatusGone:                  Expired,
	http.StatusRequestEntityTooLarge: Invalid,
	http.StatusUnsupportedMediaType:  Invalid,
	http.StatusUnprocessableEntity:   Invalid,
}

func classify(code int, s *metav1.Status) Reason {
	if denied(s.Message) {
		return Denied
	}
	switch {
	case code == http.StatusNotFound && s.Details.Name == "":
		return NoMatch // no object is named: it is the path that does not exist
	case code == http.StatusUnprocessableEntity && immutable(s.Details.Causes):
		return Immutable
	case code == http.StatusForbidden && slices.ContainsFunc(s.Details.Causes, terminating):
		return Terminating
	case code == http.StatusConflict && s.Reason == metav1.StatusReasonAlreadyExists:
		return Exists
	case code == http.StatusInternalServerError && untypable(s.Message):
		return Invalid
	}
	if reason, ok := reasonByCode[code]; ok {
		return reason
	}
	if code == http.StatusTooManyRequests || code >= http.StatusInternalServerError {
		return Unavailable
	}
	return Other
}

// The API server has no machine-readable reason for the following errors, so their text is matched. Texts are matched
// in this file only.

// denied recognises k8s.io/apiserver/pkg/admission/plugin/webhook/errors.ToStatusErr and ValidatingAdmissionPolicy.
func denied(message string) bool {
	return strings.Contains(message, `admission webhook "`) && strings.Contains(message, "denied the request") ||
		strings.Contains(message, "ValidatingAdmissionPolicy '") && strings.Contains(message, "denied request")
}

// untypable recognises a patch that does not fit the schema: a field is not declared, or has another type. The API
// server answers with an internal error although the object is wrong.
func untypable(message string) bool {
	return strings.Contains(message, "failed to create typed patch object")
}

var immutableWords = []string{
	"is immutable",                    // FieldImmutableErrorMsg of apimachinery; usual in CEL transition rules
	"may not change once set",         // Service spec.clusterIPs
	"updates to statefulset spec for", // fields other than 'replicas', …
	"cannot change roleRef",           // bindings of RBAC
	"updates to parameters are forbidden",
	"updates to provisioner are forbidden",
	"updates to reclaimPolicy are forbidden",
	"may not be changed in an update", // PriorityClass
	"pod updates may not change fields other than",
}

// immutable reports whether every cause is a field that cannot change. If there is another cause, the new object would
// be refused as well, and no object may be deleted for it.
func immutable(causes []metav1.StatusCause) bool {
	for _, c := range causes {
		if !slices.ContainsFunc(immutableWords, func(words string) bool { return strings.Contains(c.Message, words) }) {
			return false
		}
	}
	return len(causes) > 0
}

func terminating(c metav1.StatusCause) bool { return c.Type == "NamespaceTerminating" }

// errNoAnswer ends a request that takes too long.
var errNoAnswer = errors.New("no answer in time")

// unanswered returns the error of a request that got no answer.
func unanswered(ctx context.Context, op, object string, err error) *Error {
	e := &Error{Op: op, Object: object, Reason: Unreachable, Message: "the Kubernetes API does not answer: " + err.Error(),
		err: err}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errNoAnswer) {
		e.Reason, e.Message, e.err = Canceled, cause.Error(), cause
	}
	return e
}

// backoff returns the pause that a busy API server asks for: at least a millisecond, at most ten seconds.
func backoff(h http.Header) time.Duration {
	const most = 10
	seconds, _ := strconv.Atoi(h.Get("Retry-After")) // 0 if it is a date, or no number
	return max(time.Duration(min(seconds, most))*time.Second, time.Millisecond)
}
