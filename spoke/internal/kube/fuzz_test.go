package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

var reasons = []Reason{
	NotFound, NoMatch, Invalid, Immutable, Conflict, Forbidden, Denied, Unauthorized, Terminating, Exists, Expired,
	Unavailable, Other,
}

// FuzzRefusal checks that any answer becomes an error of bounded length with a known reason, and that no text of the
// API server gets past a redactor.
func FuzzRefusal(f *testing.F) {
	for code, body := range map[int]string{
		200: ``, 404: `404 page not found`, 502: `<html>Bad Gateway</html>`,
		409: `{"kind":"Status","code":409,"message":"x"}`,
		422: `{"kind":"Status","message":"x","details":{"causes":[{"reason":"FieldValueInvalid","message":"field is immutable","field":"spec"}]}}`,
		400: `{"kind":"Status","message":"admission webhook \"v\" denied the request: no"}`,
		403: `{"kind":"Status","details":{"causes":[{"reason":"NamespaceTerminating"}]}}`,
		500: `{"kind":"Status","message":"failed to create typed patch object","details":null}`,
		410: `{"kind":"Status","message":"` + strings.Repeat("ä", 5000) + `"}`,
		503: strings.Repeat("a ", 500),
	} {
		f.Add(code, []byte(body))
	}
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		err := refusal("apply", "Secret a/b", code, body)
		if !slices.Contains(reasons, err.Reason) || !strings.HasPrefix(err.Error(), "apply Secret a/b: ") {
			t.Errorf("reason %q: %v", err.Reason, err)
		}
		if len(err.Error()) > maxMessage+100 {
			t.Errorf("%d bytes", len(err.Error()))
		}
		if err.Reason == Immutable && len(err.Causes) == 0 {
			t.Error("immutable without a cause: nothing may be deleted for it")
		}
		for _, bare := range []bool{false, true} {
			hidden := err.Redacted(func(string) string { return "#" }, bare)
			for _, text := range append(texts(hidden), hidden.Message) {
				if strings.Trim(text, "#:, ") != "" && !strings.HasPrefix(text, "the API server finds it invalid") &&
					!strings.HasPrefix(text, "HTTP ") {
					t.Errorf("bare %t: %q was not redacted", bare, text)
				}
			}
		}
	})
}

func texts(e *Error) (out []string) {
	for _, c := range e.Causes {
		out = append(out, string(c.Type), c.Field, c.Message)
	}
	return out
}

// A value that is longer than the shown part of a message is redacted before the message is cut.
func TestRedactedBeforeCut(t *testing.T) {
	secret := strings.Repeat("hunter2 ", maxMessage)
	hide := func(s string) string { return strings.ReplaceAll(s, secret, "[redacted]") }
	status, _ := json.Marshal(map[string]any{"kind": "Status", "message": "Invalid value: " + secret})
	for name, body := range map[string][]byte{"status": status, "page": []byte("<html>" + secret)} {
		t.Run(name, func(t *testing.T) {
			if text := refusal("apply", "ConfigMap a/b", 409, body).Redacted(hide, false).Error(); strings.Contains(text,
				"hunter2") {
				t.Errorf("%.200s", text)
			}
		})
	}
}

// FuzzListPage checks that a page is read or refused, and that the objects are of the requested kind.
func FuzzListPage(f *testing.F) {
	for _, page := range []string{
		`{"metadata":{"resourceVersion":"9","continue":"more"},"items":[{"metadata":{"name":"a","namespace":"n","uid":"u"}}]}`,
		`{"items":[null,{"kind":1},{"metadata":[]}]}`, `{"items":{}}`, `[]`, `null`,
		`{"items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","managedFields":[{"manager":"nave-spoke","operation":"Apply","fieldsV1":1}]}}]}`,
		`{"items":[{"metadata":{"name":"a","labels":{"a":1}}}]}`,
		`{"items":[{"list":[{"name":"x"},1],"metadata":{"name":"a","managedFields":[{"manager":"kubectl-edit",` +
			`"operation":"Update","fieldsV1":{"f:list":{"k:{\"name\":\"x\"}":{"f:name":{}},"v:1":{},".":{}}}}]}}]}`,
	} {
		f.Add([]byte(page), true)
		f.Add([]byte(page), false)
	}
	f.Fuzz(func(t *testing.T, page []byte, whole bool) {
		_, _, err := readPage(page, configMaps, whole, func(l Live) error {
			checkLive(t, l, whole)
			return nil
		})
		if err == nil && !json.Valid(page) {
			t.Error("a page that is no JSON was read")
		}
	})
}

func checkLive(t *testing.T, l Live, whole bool) {
	t.Helper()
	if l.ID.Kind != configMaps.Kind || l.ID.Group != configMaps.Group || (l.Object != nil) != whole {
		t.Errorf("%+v", l.ID)
	}
	if l.Object != nil && len(l.Object.GetManagedFields()) > 0 {
		t.Error("the object has its managed fields")
	}
	l.OwnedFields()
	others := l.OthersThan(Takeover{})
	for path := range l.FieldsOf(Takeover{ByHand: true}) {
		if len(path) == 0 || !others.Own(path) && !l.Owned(path) {
			t.Errorf("nobody owns %q", path)
		}
	}
	for _, manager := range l.Adoptable {
		if !slices.Contains(l.Others, manager) {
			t.Errorf("%q is adoptable, and none of the others", manager)
		}
	}
}

// FuzzWatchStream checks that a stream of any bytes ends, with an error that names the cause.
func FuzzWatchStream(f *testing.F) {
	for _, stream := range []string{
		`{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"2"}}}` + "\n" +
			`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5"}}}`,
		`{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}`,
		`{"type":"ERROR","object":null}`, `{"type":"DELETED"}`, `{"type":"MODIFIED","object":[]}`, `{"type":"MOD`, `{}`,
		`{"type":1}`, ``, `null null null`,
	} {
		f.Add([]byte(stream), true)
		f.Add([]byte(stream), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newStream(ctx, cancel, configMaps, whole, io.NopCloser(bytes.NewReader(data)))
		defer s.Close()
		for range len(data) + 1 {
			e, err := s.Next()
			var failed *Error
			if errors.Is(err, io.EOF) || errors.As(err, &failed) && failed.Op == "watch" && failed.Reason != "" {
				return
			}
			if err != nil {
				t.Fatalf("%#v", err)
			}
			checkLive(t, e.Live, whole && e.Type != Bookmark && e.Type != Deleted)
		}
		t.Error("the stream has no end")
	})
}

// endless is a body that repeats one byte without end.
type endless byte

func (b endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestWatchEventTooLong(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 64 MiB")
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := newStream(ctx, cancel, configMaps, false,
		io.NopCloser(io.MultiReader(strings.NewReader(`{"type":"`), endless('a'))))
	defer s.Close()
	if _, err := s.Next(); ReasonOf(err) != Other || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Error(err)
	}
}
