package release_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/release"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// deployed is a record as the spoke writes it.
func deployed(name, namespace string, version int, content string) release.Record {
	return release.Record{
		Name: name, Namespace: namespace, Version: version,
		Info: release.Info{FirstDeployed: noon, LastDeployed: noon, Status: release.Deployed,
			Description: "Upgrade complete", Notes: "Open the web page.\n"},
		Chart: json.RawMessage(`{"metadata":{"name":"web","version":"1.2.3","appVersion":"7","apiVersion":"v2"},` +
			`"lock":null,"templates":[],"values":{"greeting":"hello"},"schema":null,"files":[]}`),
		Config: json.RawMessage(`{"greeting":"` + content + `"}`),
		Manifest: "---\napiVersion: v1\ndata:\n  greeting: " + content +
			"\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: " + namespace + "\n",
		Hooks: []release.Hook{{
			Name: name + "-check", Kind: "ConfigMap", Path: "web/templates/check.yaml", Events: []string{"post-rollback"},
			Manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "-check, namespace: " + namespace + "}\n",
			Weight:   3, DeletePolicies: []string{"before-hook-creation"}, OutputLogPolicies: []string{"hook-failed"},
		}},
		ApplyMethod: release.ClientSide,
	}
}

func encoded(t *testing.T, r release.Record) []byte {
	t.Helper()
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decoded(t *testing.T, data []byte) release.Record {
	t.Helper()
	r, err := release.DecodeRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// packed returns what a Secret has of a text.
func packed(text string) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = zip.Write([]byte(text))
	_ = zip.Close()
	return base64.StdEncoding.AppendEncode(nil, b.Bytes())
}

// fieldsOf returns the JSON of a record.
func fieldsOf(t *testing.T, data []byte) (fields map[string]any) {
	t.Helper()
	zipped, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(unzip).Decode(&fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestRecord(t *testing.T) {
	want := deployed("web", "shop", 3, "hello")
	want.Hooks[0].LastRun = release.Run{StartedAt: noon, CompletedAt: noon.Add(time.Second), Phase: release.HookSucceeded}
	data := encoded(t, want)
	got := decoded(t, data)
	if again := encoded(t, got); !reflect.DeepEqual(fieldsOf(t, again), fieldsOf(t, data)) {
		t.Errorf("encoded again:\n%v\nwant:\n%v", fieldsOf(t, again), fieldsOf(t, data))
	}
	if got.Fingerprint() != want.Fingerprint() || got.Info.LastDeployed != noon ||
		got.Hooks[0].LastRun != want.Hooks[0].LastRun {
		t.Errorf("%+v", got.Info)
	}
}

// TestRecord_others keeps the keys that other versions of Helm write, also when the status changes.
func TestRecord_others(t *testing.T) {
	before := `{"name":"web","namespace":"shop","version":1,"info":{"status":"deployed","first_deployed":"",` +
		`"resources":{"v1/Pod":[]}},"hooks":[{"name":"a","last_run":{"started_at":"","phase":""},"new":1}],"sequence":[1]}`
	r := decoded(t, packed(before))
	r.Info.Status, r.Hooks[0].LastRun.Phase = release.Superseded, release.HookFailed
	fields := fieldsOf(t, encoded(t, r))
	info, hook := fields["info"].(map[string]any), fields["hooks"].([]any)[0].(map[string]any)
	if info["status"] != "superseded" || info["resources"] == nil || fields["sequence"] == nil || hook["new"] == nil ||
		hook["last_run"].(map[string]any)["phase"] != "Failed" {
		t.Errorf("%v", fields)
	}
}

func TestRecord_fingerprint(t *testing.T) {
	r := deployed("web", "shop", 3, "hello")
	first := r.Fingerprint()
	r.Info = release.Info{Status: release.Superseded}
	r.Hooks[0].LastRun.Phase = release.HookFailed
	r.Chart = append(r.Chart, " \n"...)
	if r.Fingerprint() != first {
		t.Error("status, runs and space change the fingerprint")
	}
	r.Config = json.RawMessage(`{"greeting":"other"}`)
	if r.Fingerprint() == first {
		t.Error("values do not change the fingerprint")
	}
}

func TestDecodeRecord_errors(t *testing.T) {
	valid := `{"name":"web","version":1,"info":{"status":"deployed"},"manifest":"`
	tests := map[string]struct {
		data []byte
		want string
	}{
		"base64":      {[]byte("secret!"), "not base64"},
		"compression": {packed(strings.Repeat("secret", 999))[:40], "damaged compression"},
		"json":        {packed(`{"name": "secret`), "not its JSON"},
		"type":        {packed(`{"name": {"secret": 1}}`), "not its JSON"},
		"no_name":     {packed(`{"version":1,"info":{"status":"deployed"}}`), "no name"},
		"no_version":  {packed(`{"name":"web","info":{"status":"deployed"}}`), "no revision"},
		"status":      {packed(`{"name":"web","version":1,"info":{"status":"secret"}}`), "status is not known"},
		"bomb":        {packed(valid + strings.Repeat(" ", 16<<20) + `"}`), "the limit is 16777216"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := release.DecodeRecord(test.data)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

func TestRecord_tooLarge(t *testing.T) {
	r := deployed("web", "shop", 1, "hello")
	var noise strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for noise.Len() < 2<<20 {
		fmt.Fprintf(&noise, "%x\n", random.Uint64())
	}
	r.Manifest = noise.String()
	_, err := r.Encode()
	if tooLarge, ok := errors.AsType[*bundle.TooLargeError](err); !ok || !strings.Contains(tooLarge.What, "revision 1") {
		t.Error(err)
	}
}

// TestRecord_largeDefaults checks that a record goes without the values of a chart that it has no room for.
func TestRecord_largeDefaults(t *testing.T) {
	var noise strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for noise.Len() < 2<<20 {
		fmt.Fprintf(&noise, "%x", random.Uint64())
	}
	chart, err := json.Marshal(map[string]any{"metadata": map[string]string{"name": "web"},
		"values": map[string]string{"x": noise.String()}})
	if err != nil {
		t.Fatal(err)
	}
	r := release.Record{Name: "web", Version: 1, Info: release.Info{Status: release.Deployed}, Chart: chart}
	read, err := release.DecodeRecord(encoded(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(read.Chart); got != `{"metadata":{"name":"web"},"values":{}}` {
		t.Errorf("%.200s", got)
	}
}

// TestRecord_hidden prints records in all forms of fmt.
func TestRecord_hidden(t *testing.T) {
	r := deployed("web", "shop", 1, "s3cret")
	r.Hooks[0].Manifest = "s3cret"
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%+v %#v", r, r), fmt.Sprintf("%+v %#v", &r, &r),
		fmt.Sprintf("%v %#v", r.Hooks, r.Hooks)} {
		if strings.Contains(text, "s3cret") {
			t.Error(text)
		}
	}
}

func TestSurplus(t *testing.T) {
	const d, s, f = release.Deployed, release.Superseded, release.Failed
	tests := map[string]struct {
		statuses []release.Status // of revisions 1, 2, …
		keep     int
		want     string
	}{
		"unlimited":     {[]release.Status{s, s, d}, -1, "[]"},
		"none":          {[]release.Status{s, d, f}, 0, "[1 3]"},
		"few":           {[]release.Status{s, d}, 2, "[]"},
		"oldest":        {[]release.Status{s, s, s, d}, 2, "[1 2]"},
		"deployed_old":  {[]release.Status{d, f, f, f}, 2, "[2 3]"},
		"two_deployed":  {[]release.Status{d, d, f, f}, 2, "[1 3]"},
		"none_deployed": {[]release.Status{f, f, f}, 1, "[1 2]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var history []release.Revision
			for i, status := range test.statuses {
				history = append(history, release.Revision{Version: i + 1, Status: status})
			}
			if got := fmt.Sprint(release.Surplus(history, test.keep)); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestManifest(t *testing.T) {
	objects, err := manifest.Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" +
		"data: {x: 'yes', y: \"a\\nb\"}\n" +
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := release.Manifest(objects)
	if err != nil {
		t.Fatal(err)
	}
	again, err := manifest.Parse([]byte(text))
	if err != nil || !reflect.DeepEqual(again, objects) {
		t.Errorf("%v\n%s", err, text)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	r := deployed("web", "shop", 1, "hello")
	data, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(packed(`{"name":"web","version":1,"info":{"status":"failed","first_deployed":"","deleted":null},"hooks":[{}],"x":[]}`))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"web","version":1,"info":{"status":"unknown"}}`))))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := release.DecodeRecord(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Skip(err)
		}
		if second := decoded(t, again); second.Fingerprint() != r.Fingerprint() {
			t.Error("the record changed")
		}
	})
}
