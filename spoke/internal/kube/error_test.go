package kube

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		name, body string
		code       int
		want       Reason
		retryable  bool
	}{
		{"object_missing",
			`{"kind":"Status","code":404,"reason":"NotFound","message":"configmaps \"a\" not found","details":{"name":"a","kind":"configmaps"}}`, 404, NotFound, true},
		{"path_not_served", `404 page not found`, 404, NoMatch, true},
		{"resource_not_served",
			`{"kind":"Status","code":404,"reason":"NotFound","message":"the server could not find the requested resource","details":{}}`, 404, NoMatch, true},
		{"rule_broken",
			`{"kind":"Status","code":422,"reason":"Invalid","message":"x","details":{"causes":[{"reason":"FieldValueInvalid","message":"Invalid value: -1: must be greater than or equal to 0","field":"spec.replicas"}]}}`, 422, Invalid, false},
		{"immutable_field",
			`{"kind":"Status","code":422,"reason":"Invalid","message":"x","details":{"causes":[{"reason":"FieldValueInvalid","message":"Invalid value: {}: field is immutable","field":"spec.selector"}]}}`, 422, Immutable, false},
		{"immutable_and_other_faults",
			`{"kind":"Status","code":422,"reason":"Invalid","message":"x","details":{"causes":[{"message":"field is immutable"},{"message":"Required value"}]}}`, 422, Invalid, false},
		{"stateful_set_template",
			`{"kind":"Status","code":422,"reason":"Invalid","message":"x","details":{"causes":[{"reason":"FieldValueForbidden","message":"Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden","field":"spec"}]}}`, 422, Immutable, false},
		{"rbac", `{"kind":"Status","code":403,"reason":"Forbidden","message":"configmaps is forbidden"}`, 403, Forbidden,
			false},
		{"namespace_terminating",
			`{"kind":"Status","code":403,"reason":"Forbidden","message":"x","details":{"causes":[{"reason":"NamespaceTerminating","message":"namespace a is being terminated"}]}}`, 403, Terminating, true},
		{"webhook",
			`{"kind":"Status","code":400,"reason":"BadRequest","message":"admission webhook \"v.example.com\" denied the request: no"}`, 400, Denied, false},
		{"webhook_silent",
			`{"kind":"Status","code":500,"reason":"InternalError","message":"failed calling webhook \"v.example.com\": connection refused"}`, 500, Unavailable, true},
		{"admission_policy",
			`{"kind":"Status","code":422,"reason":"Invalid","message":"configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"}`, 422, Denied, false},
		{"field_not_declared",
			`{"kind":"Status","code":500,"message":"failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.x: field not declared in schema"}`, 500, Invalid, false},
		{"overload", `{"kind":"Status","code":429,"reason":"TooManyRequests","message":"x"}`, 429, Unavailable, true},
		{"conflict", `{"kind":"Status","code":409,"reason":"Conflict","message":"x"}`, 409, Conflict, true},
		{"exists", `{"kind":"Status","code":409,"reason":"AlreadyExists","message":"x"}`, 409, Exists, false},
		{"expired", `{"kind":"Status","code":410,"reason":"Expired","message":"x"}`, 410, Expired, true},
		{"stranger", `{"kind":"Status","code":401,"reason":"Unauthorized","message":"Unauthorized"}`, 401, Unauthorized,
			false},
		{"proxy", `<html>Bad Gateway</html>`, 502, Unavailable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := refusal("apply", "ConfigMap a/b", c.code, []byte(c.body))
			if err.Reason != c.want || Retryable(err) != c.retryable {
				t.Errorf("reason %s, retryable %t; want %s, %t", err.Reason, Retryable(err), c.want, c.retryable)
			}
			if !strings.Contains(err.Error(), "apply ConfigMap a/b: ") {
				t.Errorf("%q does not name the object", err)
			}
		})
	}
}

func TestRedacted(t *testing.T) {
	err := refusal("apply", "Secret a/b", 422,
		[]byte(`{"kind":"Status","message":"Secret \"b\" is invalid: data[k]: Invalid value: \"hunter2\": no",
		"details":{"causes":[{"reason":"FieldValueInvalid","field":"data[k]","message":"Invalid value: \"hunter2\": no"}]}}`))
	err.err = errors.New("hunter2")
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") }
	for name, got := range map[string]*Error{"hidden": err.Redacted(hide, false),
		"bare": err.Redacted(func(s string) string { return s }, true)} {
		text, _ := json.Marshal(got)
		if whole := got.Error() + string(text); strings.Contains(whole, "hunter2") || errors.Unwrap(got) != nil {
			t.Errorf("%s: %s", name, whole)
		}
		if !strings.Contains(got.Error(), "data[k]") {
			t.Errorf("%s: %q does not name the field", name, got)
		}
	}
}

func TestCanceled(t *testing.T) {
	why := errors.New("a newer bundle came")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	err := unanswered(ctx, "apply", "ConfigMap a/b", context.Canceled)
	if err.Reason != Canceled || !errors.Is(err, why) || !errors.Is(err.Redacted(strings.ToUpper, false), why) {
		t.Errorf("%#v", err)
	}
}
