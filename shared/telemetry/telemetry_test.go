package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

type name string

func (n name) String() string { return "name " + string(n) }

func TestAttributes(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("message", Cluster("a"), Object(name("o")), Application(name("p")), Revision("main@sha1:1"),
		Digest(name("d")),
		Sequence(7), Peer(name("q")), Address("127.0.0.1:1"), Path("/x"), Reason("r"), Count(3), Duration(time.Second),
		Err(errors.New("broken")))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msg": "message", "cluster": "a", "object": "name o", "application": "name " +
			"p", "revision": "main@sha1:1", "digest": "name d",
		"sequence": 7.0, "peer": "name q", "address": "127.0.0.1:1", "path": "/x", "reason": "r", "count": 3.0,
		"duration": 1e9, "err": "broken",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
}

func TestAttributes_nil(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("message", Err(nil))
	if got := out.String(); strings.Contains(got, "err") || strings.Contains(got, "nil") {
		t.Errorf("%q", got)
	}
	log.Debug("quiet")
	if strings.Contains(out.String(), "quiet") {
		t.Error("debug lines show at info")
	}
}

func TestNewLogger(t *testing.T) {
	for _, c := range []struct{ format, level, says string }{{"xml", "info", "json or text"},
		{"json", "loud", "debug, info, warn or error"}} {
		if _, err := NewLogger(io.Discard, c.format, c.level); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %s: %v", c.format, c.level, err)
		}
	}
}

func TestHandler(t *testing.T) {
	var notReady error
	server := httptest.NewServer(Handler(NewRegistry("v1.2.3", "abc"), func() error { return notReady }, false))
	defer server.Close()
	get := func(path string) (string, error) {
		response, err := http.Get(server.URL + path)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return fmt.Sprint(response.StatusCode, " ", string(body)), err
	}
	expect := func(path, want string) {
		t.Helper()
		if got, err := get(path); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.40q, %v, want %q", path, got, err, want)
		}
	}
	expect("/healthz", "200 ok")
	expect("/readyz", "200 ok")
	notReady = errors.New("store is opening")
	expect("/healthz", "200 ok")
	expect("/readyz", "503 store is opening")
	expect("/other", "404")
	expect("/debug/pprof/", "404")
	if metrics, err := get("/metrics"); err != nil || !strings.Contains(metrics, "go_goroutines") ||
		!strings.Contains(metrics, "process_resident_memory_bytes") ||
		!strings.Contains(metrics, `revision="abc",version="v1.2.3"} 1`) {
		t.Errorf("/metrics: %.80q, %v", metrics, err)
	}
}

func TestHandler_profiles(t *testing.T) {
	server := httptest.NewServer(Handler(NewRegistry("", ""), func() error { return nil }, true))
	defer server.Close()
	for _, path := range []string{"", "heap", "cmdline", "goroutine?debug=1"} {
		response, err := http.Get(server.URL + "/debug/pprof/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}
