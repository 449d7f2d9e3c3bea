package health

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
)

// byKstatus returns what the library says about an object. Nave leaves out the message of a healthy object.
func byKstatus(o *manifest.Object) Report {
	r, err := status.Compute(o)
	if err != nil {
		return Report{Status: health.Unknown}
	}
	if r.Status == status.CurrentStatus {
		return Report{Status: health.Current}
	}
	report := Report{Status: health.Parse(string(r.Status)), Message: r.Message}
	if len(r.Conditions) > 0 {
		report.Reason = r.Conditions[0].Reason
	}
	return report
}

// TestAssess_as_kstatus compares reports with the library's. TestKinds has the kinds about which Nave says something
// else.
func TestAssess_as_kstatus(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		data := []byte{byte(i)}
		for range 60 {
			data = append(data, byte(random.Uint32()))
		}
		compare(t, data)
	}
}

func FuzzAssess(f *testing.F) {
	for kind := range drawnKinds {
		f.Add([]byte{byte(kind), 1, 1, 1, 2, 3, 1, 1, 1, 1, 2})
	}
	f.Fuzz(compare)
}

func compare(t *testing.T, data []byte) {
	d := drawing(data)
	o := d.object()
	got, want := assess(o), byKstatus(o)
	if got.Status == health.Unknown {
		got.Message = "" // errors have their own words
	}
	if got != want {
		t.Errorf("%+v\nassess:  %+v\nkstatus: %+v", o.Object, got, want)
	}
}

// drawing makes objects of bytes.
type drawing []byte

var drawnKinds = []struct{ apiVersion, kind string }{
	{"apps/v1", "Deployment"}, {"apps/v1", "ReplicaSet"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "DaemonSet"},
	{"v1", "Pod"}, {"v1", "Service"}, {"v1", "PersistentVolumeClaim"}, {"example.com/v1", "Widget"},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition"}, {"policy/v1", "PodDisruptionBudget"},
	{"batch/v1", "CronJob"}, {"v1", "ConfigMap"}, {"v1", "Secret"}, {"example.com/v1", "Deployment"},
}

// next returns the next number below n.
func (d *drawing) next(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

// one returns one of some values.
func (d *drawing) one(values ...any) any { return values[d.next(len(values))] }

func (d *drawing) object() *manifest.Object {
	kind := drawnKinds[d.next(len(drawnKinds))]
	o := map[string]any{"apiVersion": kind.apiVersion, "kind": kind.kind, "metadata": map[string]any{"name": "a",
		"creationTimestamp": d.one("2020-01-01T00:00:00Z", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))}}
	for _, path := range [][]string{
		{"metadata", "generation"}, {"status", "observedGeneration"}, {"spec", "replicas"}, {"status", "replicas"},
		{"status", "updatedReplicas"}, {"status", "readyReplicas"}, {"status", "availableReplicas"},
		{"status", "currentReplicas"}, {"status", "fullyLabeledReplicas"}, {"status", "desiredNumberScheduled"},
		{"status", "currentNumberScheduled"}, {"status", "updatedNumberScheduled"}, {"status", "numberAvailable"},
		{"status", "numberReady"}, {"spec", "updateStrategy", "rollingUpdate", "partition"},
	} {
		d.set(o, d.one(nil, int64(1), int64(1), int64(2), int64(0), "many", 1.5), path...)
	}
	d.set(o, d.one(nil, int64(600), int64(1<<31-1)), "spec", "progressDeadlineSeconds")
	d.set(o, d.one(nil, "LoadBalancer", "ClusterIP"), "spec", "type")
	d.set(o, d.one(nil, "", "10.0.0.1"), "spec", "clusterIP")
	d.set(o, d.one(nil, "a-1", "a-2"), "status", "currentRevision")
	d.set(o, d.one(nil, "a-1", "a-2", int64(1)), "status", "updateRevision")
	d.set(o, d.one(nil, "Running", "Pending", "Succeeded", "Unknown", "Bound", "Lost", int64(1)), "status", "phase")
	d.set(o, d.containers(), "status", "containerStatuses")
	d.set(o, d.conditions(), "status", "conditions")
	if d.next(20) == 19 {
		o["status"] = "fine"
	}
	return &manifest.Object{Object: o}
}

// set sets a field of an object, unless the value is nil.
func (d *drawing) set(o map[string]any, value any, path ...string) {
	if value != nil {
		_ = unstructured.SetNestedField(o, value, path...)
	}
}

func (d *drawing) containers() any {
	waiting := map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}
	starting := map[string]any{"waiting": map[string]any{"reason": "ContainerCreating"}}
	return d.one(nil, []any{}, []any{map[string]any{"name": "a", "state": waiting}}, []any{
		map[string]any{"name": "a", "state": map[string]any{"running": map[string]any{}}}, map[string]any{"name": "b"},
		map[string]any{"name": "c", "state": starting}, map[string]any{"name": "d", "state": waiting},
		map[string]any{"name": "e", "state": waiting}, map[string]any{"state": waiting}})
}

func (d *drawing) conditions() any {
	if d.next(12) == 11 {
		return d.one("none", map[string]any{}, []any{nil}, []any{words.Ready}, []any{map[string]any{"type": true}})
	}
	list := []any{}
	if d.next(4) == 3 {
		list = append(list, map[string]any{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"})
	}
	for range d.next(4) {
		c := map[string]any{"type": d.one(words.Ready, words.Ready, words.Reconciling, words.Stalled, "Progressing",
			"Progressing", "Available", "Available", "ReplicaFailure", "NamesAccepted", "Established", nil)}
		for field, value := range map[string]any{"status": d.one("True", "True", "False", "Unknown", "Other", nil),
			"reason": d.one("NewReplicaSetAvailable", "ProgressDeadlineExceeded", "Unschedulable", "Installing", "Other",
				nil), "message": d.one("because", nil)} {
			if value != nil {
				c[field] = value
			}
		}
		list = append(list, c)
	}
	return list
}
